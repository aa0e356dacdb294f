//! Building an index without stopping the writers.

use std::{fmt, pin::Pin};

use sea_orm::DbErr;

use crate::{
    backend::{self, Index},
    database::Database,
    error::Error,
};

/// Creates an index without locking out writers, and mends what an interrupted build has left.
///
/// Await it in a migration of [`Mode::Outside`](crate::Mode::Outside) that does nothing else. On
/// PostgreSQL it sends `CREATE INDEX CONCURRENTLY`. It drops an `INVALID` index of that name first,
/// keeps a valid one, and checks that the result is valid. (`IF NOT EXISTS` would accept the
/// invalid one, which slows every write and serves no query:
/// <https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY>.) On
/// SQLite it makes a plain index, if there is none of that name.
///
/// `columns` is the list in SQL, and may hold expressions: `"member_id, lower(task)"`. All
/// arguments go into the statement as they are: never build them from input.
///
/// ```no_run
/// use onerow::prelude::*;
///
/// pub struct Migration;
///
/// #[async_trait]
/// impl MigrationTrait for Migration {
///     fn mode(&self) -> Mode {
///         Mode::Outside
///     }
///
///     async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
///         create_index(db, "todos_due", "todos", "due").filter("NOT done").await
///     }
/// }
/// ```
///
/// # Errors
/// If the server refuses, if the index is invalid after all, or if `db` is a transaction.
pub fn create_index<'a>(
    db: &'a Database,
    name: &'a str,
    table: &'a str,
    columns: &'a str,
) -> CreateIndex<'a> {
    let index = Index { name, table, columns, unique: false, method: None, filter: None };
    CreateIndex { db, index }
}

/// An index that is created when this is awaited. [`create_index`] returns it.
#[must_use = "nothing is created until it is awaited"]
pub struct CreateIndex<'a> {
    db: &'a Database,
    index: Index<'a>,
}

impl<'a> CreateIndex<'a> {
    /// Allows no two rows with the same values. If there are such rows, the build fails.
    pub fn unique(mut self) -> Self {
        self.index.unique = true;
        self
    }

    /// Sets PostgreSQL's access method, such as `"gin"`. SQLite has only one, so there it is
    /// ignored.
    pub fn using(mut self, method: &'a str) -> Self {
        self.index.method = Some(method);
        self
    }

    /// Indexes only the rows that meet this condition: the text after `WHERE` in SQL.
    pub fn filter(mut self, condition: &'a str) -> Self {
        self.index.filter = Some(condition);
        self
    }

    async fn create(&self) -> Result<(), DbErr> {
        let outside = |error: Error| {
            DbErr::Migration(format!("create_index runs outside a transaction: {error}"))
        };
        let pool = self.db.connection().map_err(outside)?;
        backend::of(pool).map_err(outside)?.create_index(pool, &self.index).await
    }
}

impl<'a> IntoFuture for CreateIndex<'a> {
    type Output = Result<(), DbErr>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.create().await })
    }
}

impl fmt::Debug for CreateIndex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateIndex").field("index", &self.index).finish_non_exhaustive()
    }
}
