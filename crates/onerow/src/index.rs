//! An index that is built beside the traffic.

use std::{fmt, pin::Pin};

use sea_orm::DbErr;

use crate::{
    backend::{self, Index},
    database::Database,
    error::Error,
};

/// Creates an index without locking out writers, and heals what an interrupted build has left.
///
/// Await it in a migration of [`Mode::Outside`](crate::Mode::Outside), alone. On PostgreSQL it sends
/// `CREATE INDEX CONCURRENTLY`. An `INVALID` index of that name is dropped first, a valid one is kept,
/// and the result is checked to be valid. (`IF NOT EXISTS` would accept the invalid one, which costs
/// every write and serves no query:
/// <https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY>.) On
/// SQLite it makes a plain index, if there is none of that name.
///
/// `columns` is the list in SQL, expressions and all: `"member_id, lower(task)"`. All that is given here
/// goes into the statement as it is: never build it from input.
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
/// The server's, one if the index is not valid after all, and one in a transaction.
pub fn create_index<'a>(
    db: &'a Database,
    name: &'a str,
    table: &'a str,
    columns: &'a str,
) -> CreateIndex<'a> {
    let index = Index { name, table, columns, unique: false, method: None, filter: None };
    CreateIndex { db, index }
}

/// An index to be created when it is awaited; made by [`create_index`].
#[must_use = "nothing is created until it is awaited"]
pub struct CreateIndex<'a> {
    db: &'a Database,
    index: Index<'a>,
}

impl<'a> CreateIndex<'a> {
    /// Allows no two rows of the same values. If there are such rows, the build fails.
    pub fn unique(mut self) -> Self {
        self.index.unique = true;
        self
    }

    /// The access method of PostgreSQL: `"gin"`. SQLite has one alone, and passes this over.
    pub fn using(mut self, method: &'a str) -> Self {
        self.index.method = Some(method);
        self
    }

    /// Indexes only the rows that meet this condition, what SQL has after `WHERE`.
    pub fn filter(mut self, condition: &'a str) -> Self {
        self.index.filter = Some(condition);
        self
    }

    async fn create(&self) -> Result<(), DbErr> {
        let outside = |error: Error| {
            DbErr::Migration(format!("an index is created outside a transaction: {error}"))
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
