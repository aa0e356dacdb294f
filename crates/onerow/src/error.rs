//! What can go wrong, in one opaque type.

use std::{error::Error as StdError, fmt};

use sea_orm::DbErr;

use crate::driver;

/// Why connecting, or a run of migrations, did not succeed.
///
/// [`kind`](Self::kind) says what happened, for code that decides by it. `Display` says it for people,
/// with what is still true; [`causes`](Self::causes) are what the server said. No part of it holds a
/// password.
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
    /// If the source says several things at once: each of them.
    causes: Vec<String>,
}

/// Declares the kinds with their names for machines.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)*) => {
        /// What an [`Error`] is: one kind for each decision that an operator has to take.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorKind {
            $($(#[$doc])* $kind,)*
        }

        impl ErrorKind {
            /// Each of them.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// Its name for machines: `migration_failed`. It stays when a message is reworded.
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
    /// The URL is of a database that onerow does not know.
    UnknownScheme = "unknown_scheme",
    /// The URL is of a known database, whose driver this program was built without.
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
    /// A pool was asked for, and this is the transaction that a migration is handed.
    NotAPool = "not_a_pool",
    /// The database holds a version that this build does not know.
    Ahead = "ahead",
    /// The version row holds something else than a version.
    InvalidVersion = "invalid_version",
    /// The version table has no row, and a row with only a version cannot be added.
    MissingRow = "missing_row",
    /// The version table has several rows.
    SeveralRows = "several_rows",
    /// There is a table of that name, and it has no column `version`.
    ForeignTable = "foreign_table",
    /// Row-level security hides the version row from this user.
    RowHidden = "row_hidden",
    /// The owner of the version table could run code of their own with this user's rights.
    UntrustedTable = "untrusted_table",
    /// The database is a standby, or was opened read-only.
    ReadOnly = "read_only",
    /// The user does not have the right.
    PermissionDenied = "permission_denied",
    /// SQLite keeps no journal for these connections, so it could not roll a migration back.
    NoJournal = "no_journal",
    /// No schema of the search path exists, so the version row has no place.
    NoSchema = "no_schema",
    /// The name of the registry's table is not a name, or could be another registry's.
    InvalidTable = "invalid_table",
    /// The modules of [`registry!`](crate::registry!) do not go on where its base ends.
    Misnumbered = "misnumbered",
    /// There is no table of another tool to [`adopt`](crate::Registry::adopt).
    NoHistory = "no_history",
    /// There are tables of several tools.
    SeveralHistories = "several_histories",
    /// The table has not the columns of that tool's.
    ForeignHistory = "foreign_history",
    /// What another tool has applied is not what the registry begins with.
    HistoryMismatch = "history_mismatch",
    /// The tool's table is in another schema than the registry's.
    HistoryElsewhere = "history_elsewhere",
    /// Reading the table would run code of its owner.
    UnsafeHistory = "unsafe_history",
    /// The table has not the columns of any tool that onerow knows.
    NoTool = "no_tool",
    /// Another session had the tool's table locked for all of the
    /// [`wait_timeout`](crate::Adopt::wait_timeout).
    HistoryBusy = "history_busy",
    /// Another tool has applied what is pending here.
    Unadopted = "unadopted",
    /// A [`baseline`](crate::Registry::baseline) is for a database that no other tool has migrated.
    BesideHistory = "beside_history",
    /// A [`baseline`](crate::Registry::baseline) is for a database without a version.
    AlreadyVersioned = "already_versioned",
    /// [`to`](crate::Up::to) names a version that the registry does not have.
    TargetBeyondLatest = "target_beyond_latest",
    /// [`to`](crate::Up::to) names a version below the database's.
    TargetBelowVersion = "target_below_version",
    /// A migration failed: [`failure`](crate::Error::failure) says how. All that came before it is applied.
    MigrationFailed = "migration_failed",
    /// Another runner held the version row for all of the [`wait_timeout`](crate::Up::wait_timeout).
    WaitTimeout = "wait_timeout",
    /// The run was told to stop, by [`cancel_on`](crate::Up::cancel_on).
    Cancelled = "cancelled",
    /// A migration outside a transaction needs a second connection, and only one is served.
    OneConnection = "one_connection",
    /// The connection broke in a `COMMIT`, and the database could not be asked about it since.
    CommitInDoubt = "commit_in_doubt",
    /// The database refused a statement of onerow's own.
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

    /// The error of an operation of onerow's own.
    pub(crate) fn cannot(operation: &str, version: Option<i32>, source: DbErr) -> Self {
        let message = format!("cannot {operation}{}", still_at(version));
        Self::new(ErrorKind::Database, message).at(version).because(source)
    }

    pub(crate) fn cannot_reach(source: DbErr) -> Self {
        Self::cannot("reach the database", None, source)
    }

    /// With the version that the database holds.
    pub(crate) fn at(mut self, version: impl Into<Option<i32>>) -> Self {
        self.0.version = version.into();
        self
    }

    pub(crate) fn of_migration(mut self, migration: i32) -> Self {
        self.0.migration = Some(migration);
        self
    }

    pub(crate) fn of_table(mut self, table: impl ToString) -> Self {
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

    /// What happened, for code that decides by it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The version that the database holds, if the error knows it; −1 before the first migration.
    #[must_use]
    pub fn version(&self) -> Option<i32> {
        self.0.version
    }

    /// The version of the migration that it is about, if it is about one.
    #[must_use]
    pub fn migration(&self) -> Option<i32> {
        self.0.migration
    }

    /// The table that it is about, if it is about one: the registry's, or another tool's.
    #[must_use]
    pub fn table(&self) -> Option<&str> {
        self.0.table.as_deref()
    }

    /// The causes, outermost first, down to the words of the server.
    #[must_use]
    pub fn causes(&self) -> Vec<String> {
        if !self.0.causes.is_empty() {
            return self.0.causes.clone();
        }
        self.source().map(driver::causes).unwrap_or_default()
    }

    /// The error and its causes, one to a line, as the command line prints them.
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

/// At the end of a message: where the database is, if that is known.
pub(crate) fn still_at(version: Option<i32>) -> String {
    version.map(|version| format!("; the database is at version {version}")).unwrap_or_default()
}

/// The same, and says so if that is not known.
pub(crate) fn now_at(version: Option<i32>) -> String {
    if version.is_none() {
        return "; the version of the database could not be read".into();
    }
    still_at(version)
}
