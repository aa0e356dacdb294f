//! What can go wrong, in one opaque type.

use std::{error::Error as StdError, fmt};

use sea_orm::DbErr;

use crate::driver;

/// Why connecting to a database, or a run of migrations, did not succeed.
///
/// [`kind`](Self::kind) tells code what happened. `Display` tells people what happened and what is
/// still true. [`causes`](Self::causes) say why, down to the words of the server. No part of it
/// holds a password.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let error = onerow::Database::connect("redis://localhost").await.unwrap_err();
/// assert_eq!(error.kind(), onerow::ErrorKind::UnknownScheme);
/// assert_eq!(error.to_string(), "unknown database scheme \"redis\"");
/// # }
/// ```
pub struct Error(Box<Parts>);

struct Parts {
    kind: ErrorKind,
    message: String,
    version: Option<i32>,
    migration: Option<i32>,
    table: Option<String>,
    tool: Option<&'static str>,
    source: Option<Box<dyn StdError + Send + Sync>>,
    /// The causes as they are shown, if they are not those of `source`.
    causes: Vec<String>,
}

/// Declares each kind with its name for machines.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)*) => {
        /// What an [`Error`] is. There is one kind for each decision that an operator has to take.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorKind {
            $($(#[$doc])* $kind,)*
        }

        impl ErrorKind {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// The name for machines, such as `migration_failed`. It stays the same when a message
            /// is reworded.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }
        }
    };
}

kinds! {
    /// The text is not a database URL.
    InvalidUrl = "invalid_url",
    /// onerow does not know the kind of database that the URL names.
    UnknownScheme = "unknown_scheme",
    /// onerow knows the kind of database, but this program was built without its driver.
    DriverMissing = "driver_missing",
    /// Nothing answers at the address.
    ServerUnreachable = "server_unreachable",
    /// The server does not accept the user name and the password.
    AuthenticationFailed = "authentication_failed",
    /// The server has no such database, or there is no such file.
    NoSuchDatabase = "no_such_database",
    /// The server has no connection left to give. A run waits for one as long as
    /// [`wait_timeout`](crate::Up::wait_timeout) says.
    TooManyConnections = "too_many_connections",
    /// Connecting failed in another way.
    Connect = "connect",
    /// A pool is needed here, and this handle is the transaction of a running migration.
    NotAPool = "not_a_pool",
    /// The database holds a version that this build does not know.
    Ahead = "ahead",
    /// The version row holds something other than a version.
    InvalidVersion = "invalid_version",
    /// The version table has no row, and a row with only a version cannot be added.
    MissingRow = "missing_row",
    /// The version table has several rows.
    SeveralRows = "several_rows",
    /// The version table has no column `version`, so it is not onerow's.
    ForeignTable = "foreign_table",
    /// Row-level security hides the version row from this user.
    RowHidden = "row_hidden",
    /// The version table belongs to another role, which could run its code with this user's rights.
    UntrustedTable = "untrusted_table",
    /// The server is not PostgreSQL, though it speaks its protocol, and onerow is not tested there.
    /// See [`on_unverified_engine`](crate::Up::on_unverified_engine).
    UnverifiedEngine = "unverified_engine",
    /// The server is a PostgreSQL before 13.
    ServerTooOld = "server_too_old",
    /// The server is a standby, or the database was opened read-only.
    ReadOnly = "read_only",
    /// The user lacks a right.
    PermissionDenied = "permission_denied",
    /// These connections have SQLite's journal off, so a migration could not be rolled back.
    NoJournal = "no_journal",
    /// No schema in the search path exists, so there is no place for the version table.
    NoSchema = "no_schema",
    /// The name given to the version table is empty, too long, or holds a NUL.
    InvalidTable = "invalid_table",
    /// The first module in [`registry!`](crate::registry!) does not have the number that comes next
    /// after its base.
    Misnumbered = "misnumbered",
    /// The database has no old tool's table, so there is nothing to
    /// [`adopt`](crate::Registry::adopt).
    NoHistory = "no_history",
    /// The database has tables of several tools.
    SeveralHistories = "several_histories",
    /// The old tool's table lacks a column that the tool gives it.
    ForeignHistory = "foreign_history",
    /// The registry does not begin with what the old tool has applied.
    HistoryMismatch = "history_mismatch",
    /// The old tool's table and the version table are in different schemas.
    HistoryElsewhere = "history_elsewhere",
    /// Reading the old tool's table could run code of its owner.
    UnsafeHistory = "unsafe_history",
    /// The table has the columns of no tool that onerow knows.
    NoTool = "no_tool",
    /// Another session had the old tool's table locked for the whole
    /// [`wait_timeout`](crate::Adopt::wait_timeout).
    HistoryBusy = "history_busy",
    /// The old tool has applied migrations that are pending here.
    Unadopted = "unadopted",
    /// [`baseline`](crate::Registry::baseline) is for a database that no tool has migrated, and
    /// another tool has migrated this one.
    BesideHistory = "beside_history",
    /// [`baseline`](crate::Registry::baseline) is for a database without a version, and this one
    /// has one.
    AlreadyVersioned = "already_versioned",
    /// [`to`](crate::Up::to) names a version that the registry does not have.
    TargetBeyondLatest = "target_beyond_latest",
    /// [`to`](crate::Up::to) names a version below the database's.
    TargetBelowVersion = "target_below_version",
    /// A migration failed: [`failure`](crate::Error::failure) says how. The migrations before it
    /// are applied.
    MigrationFailed = "migration_failed",
    /// Another runner held the version row for the whole [`wait_timeout`](crate::Up::wait_timeout).
    WaitTimeout = "wait_timeout",
    /// [`cancel_on`](crate::Up::cancel_on) told the run to stop.
    Cancelled = "cancelled",
    /// A migration outside a transaction needs a second connection, and only one is served.
    OneConnection = "one_connection",
    /// The connection was lost during a `COMMIT`, and the database could not be asked about it
    /// since.
    CommitInDoubt = "commit_in_doubt",
    /// One of onerow's own statements failed.
    Database = "database",
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            kind,
            message: message.into(),
            version: None,
            migration: None,
            table: None,
            tool: None,
            source: None,
            causes: Vec::new(),
        }))
    }

    /// The error of one of onerow's own statements.
    pub(crate) fn cannot(operation: &str, version: Option<i32>, source: DbErr) -> Self {
        let message = format!("cannot {operation}{}", still_at(version));
        Self::new(ErrorKind::Database, message).at(version).because(source)
    }

    pub(crate) fn cannot_reach(source: DbErr) -> Self {
        Self::cannot("reach the database", None, source)
    }

    /// Adds the version that the database holds.
    pub(crate) fn at(mut self, version: impl Into<Option<i32>>) -> Self {
        self.0.version = version.into();
        self
    }

    pub(crate) fn of_migration(mut self, migration: i32) -> Self {
        self.0.migration = Some(migration);
        self
    }

    pub(crate) fn of_table(mut self, table: &impl ToString) -> Self {
        self.0.table = Some(table.to_string());
        self
    }

    pub(crate) fn of_tool(mut self, tool: &'static str) -> Self {
        self.0.tool = Some(tool);
        self
    }

    pub(crate) fn because(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.0.source = Some(Box::new(source));
        self
    }

    pub(crate) fn with_causes(mut self, causes: Vec<String>) -> Self {
        self.0.causes = causes;
        self
    }

    pub(crate) fn tool_name(&self) -> Option<&'static str> {
        self.0.tool
    }

    /// What happened, as a value that code can decide by.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The version that the database holds, if the error knows it. It is −1 before the first
    /// migration.
    #[must_use]
    pub fn version(&self) -> Option<i32> {
        self.0.version
    }

    /// The version of the migration that the error is about, if it is about one.
    #[must_use]
    pub fn migration(&self) -> Option<i32> {
        self.0.migration
    }

    /// The table that the error is about, if it is about one: the version table or the old tool's.
    #[must_use]
    pub fn table(&self) -> Option<&str> {
        self.0.table.as_deref()
    }

    /// The causes, from the nearest down to the words of the server.
    #[must_use]
    pub fn causes(&self) -> Vec<String> {
        if !self.0.causes.is_empty() {
            return self.0.causes.clone();
        }
        self.source().map(driver::causes).unwrap_or_default()
    }

    /// The error and its causes, each on a line of its own, as the command line prints them.
    #[must_use]
    pub fn explain(&self) -> impl fmt::Display {
        let indented = self.causes().into_iter().map(|cause| cause.replace('\n', "\n    "));
        let causes: String =
            indented.flat_map(|cause| ["\n  caused by: ".to_owned(), cause]).collect();
        format!("error: {self}{causes}")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { kind, message, version, migration, source, .. } = &*self.0;
        let mut parts = f.debug_struct("Error");
        parts.field("kind", kind).field("message", message);
        parts.field("version", version).field("migration", migration);
        parts.field("source", source).finish_non_exhaustive()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|source| &**source as _)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Ends a message with the version that the database holds, if that is known.
pub(crate) fn still_at(version: Option<i32>) -> String {
    version.map(|version| format!("; the database is at version {version}")).unwrap_or_default()
}

/// Ends a message with the version that the database holds, or says that it is not known.
pub(crate) fn now_at(version: Option<i32>) -> String {
    if version.is_none() {
        return "; the version of the database could not be read".into();
    }
    still_at(version)
}
