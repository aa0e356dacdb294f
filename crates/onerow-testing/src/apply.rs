//! Applying migrations to a test's database.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use sea_orm::DbErr;

use super::{TestDatabase, rows_kept::Rows};
use onerow::{Database, Error, Failure, Registry, Report, words};

/// Applies migrations to a test's database when it is awaited. [`TestDatabase::apply`] and its like
/// make it.
#[derive(Debug)]
#[must_use = "nothing is applied until it is awaited"]
pub struct Apply<'a> {
    db: &'a TestDatabase,
    /// The version that the database has to be at, if that matters.
    from: Option<i32>,
    to: i32,
    /// The columns and tables that may change, if rows are to be kept.
    keeping: Option<Vec<String>>,
}

impl<'a> Apply<'a> {
    pub(super) fn new(db: &'a TestDatabase, from: Option<i32>, to: i32) -> Self {
        Self { db, from, to, keeping: None }
    }

    /// Checks that each row of each table is still there afterwards, with the same values in the
    /// columns that remain. (On PostgreSQL: each table of the current schema.)
    ///
    /// New rows, new columns and dropped columns do not count. Name with [`except`](Self::except)
    /// the columns that the migration is meant to change.
    ///
    /// # Errors
    /// If a row is gone or changed, awaiting it gives [`ApplyError::RowsChanged`].
    pub fn keeping_every_row(mut self) -> Self {
        self.keeping.get_or_insert_default();
        self
    }

    /// Leaves out a column, named as `table.column`, or a table, from the comparison of
    /// [`keeping_every_row`](Self::keeping_every_row).
    pub fn except(mut self, what: &str) -> Self {
        self.keeping.get_or_insert_default().push(what.into());
        self
    }

    async fn run(self) -> Result<Report, ApplyError> {
        if let Some(wanted) = self.from {
            let found = self.db.registry().status(self.db).await?.version;
            if found != wanted {
                return Err(ApplyError::OtherVersion { wanted, found });
            }
        }
        let Some(changing) = &self.keeping else {
            return apply(self.db.registry(), self.db, self.to).await;
        };
        let before = self.read_rows().await?;
        let report = apply(self.db.registry(), self.db, self.to).await?;
        match before.changed(&self.read_rows().await?, changing) {
            None => Ok(report),
            Some(changes) => Err(ApplyError::RowsChanged { changes }),
        }
    }

    async fn read_rows(&self) -> Result<Rows, ApplyError> {
        let failed = |source| ApplyError::Database { operation: "read the rows".into(), source };
        Rows::read(self.db).await.map_err(failed)
    }
}

impl<'a> IntoFuture for Apply<'a> {
    type Output = Result<Report, ApplyError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// Applies the migrations up to this version. The error shows the SQL that failed.
pub(super) async fn apply(
    registry: &Registry,
    db: &Database,
    version: i32,
) -> Result<Report, ApplyError> {
    let failed = Arc::new(Mutex::new(None));
    let heard = Arc::clone(&failed);
    let hear = move |sql: &str| {
        *heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(sql.to_owned());
    };
    let outcome = registry.up(db).to(version).on_failed_statement(hear).await;
    outcome.map_err(|error| {
        let statement = failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        // An earlier statement may have failed, and the migration may have gone on.
        ApplyError::Failed { statement: statement.filter(|_| is_refused(&error)), error }
    })
}

/// Why migrations could not be applied to a test's database.
///
/// `Debug` prints the same as `Display`, so that `unwrap` in a test prints it for people.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// A migration failed, or the database could not be reached.
    #[error("{}{}{}", explained(error), sql(statement.as_deref()), hint(error))]
    Failed {
        /// The SQL that the database refused, if that was the failure and
        /// [`on_failed_statement`](onerow::Up::on_failed_statement) heard of it.
        statement: Option<String>,
        /// The error of the run.
        #[source]
        error: Error,
    },
    /// A test's database could not be made, copied or read.
    #[error("cannot {operation}: {}", words(source))]
    Database {
        /// What the kit tried.
        operation: String,
        /// What the server or the system says.
        source: DbErr,
    },
    /// The database is at another version, so the test would be of another migration.
    #[error("this applies migration {} alone, on a database at version {wanted}; \
        it is at version {found}", wanted + 1)]
    OtherVersion {
        /// The version before the migration.
        wanted: i32,
        /// The version of the database.
        found: i32,
    },
    /// Rows that were to be kept are gone or changed.
    #[error("the migration did not keep every row:\n{changes}")]
    RowsChanged {
        /// For each table, `-` before a row that is gone, and `+` before a new one.
        changes: String,
    },
}

impl From<Error> for ApplyError {
    fn from(error: Error) -> Self {
        Self::Failed { statement: None, error }
    }
}

impl fmt::Debug for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The error and its causes, as a panic shows them.
fn explained(error: &Error) -> String {
    error.explain().to_string().trim_start_matches("error: ").to_owned()
}

/// Whether the database refused a statement. Otherwise the migration itself gave up.
fn is_refused(error: &Error) -> bool {
    match error.failure() {
        Some(Failure::Migrate(error) | Failure::Validate(error)) => {
            matches!(error, DbErr::Exec(_) | DbErr::Query(_))
        }
        Some(Failure::Blocked { .. } | Failure::Panicked(_) | Failure::OldTable { .. }) => true,
        _ => false,
    }
}

/// Each test has its own database, but all share the roles of the server.
fn hint(error: &Error) -> &'static str {
    let is_role = |words: &str| words.starts_with("role ") && words.contains("already exists");
    if error.causes().iter().any(|cause| is_role(cause)) {
        "\n  roles belong to the whole server, which other tests share: create it only if it is \
         missing, as \"Roles\" in docs/testing.md shows"
    } else {
        ""
    }
}

fn sql(statement: Option<&str>) -> String {
    statement
        .map(|sql| format!("\n  SQL: {}", sql.trim().replace('\n', "\n  ")))
        .unwrap_or_default()
}
