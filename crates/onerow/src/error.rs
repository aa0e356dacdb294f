//! What can go wrong: a variant for each decision an operator has to take.

use std::{error::Error as StdError, fmt, time::Duration};

use sea_orm::DbErr;

use crate::{HistoryProblem, HistoryProblems, Tool, backend, migration, progress::ServerSession};

/// Why connecting, or a run of migrations, did not succeed.
///
/// `Display` says what happened and what is still true; the cause is in [`source`](StdError::source);
/// [`next_step`](Self::next_step) says what to do; [`explain`](Self::explain) prints all three. No variant holds a
/// password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is not a database URL.
    #[error("the database URL does not parse: {reason}")]
    InvalidUrl {
        /// What the parser says, without the URL, which may hold a password.
        reason: String,
    },
    /// The URL is of no database that onerow knows.
    #[error("unknown database scheme \"{scheme}\"")]
    UnknownScheme {
        /// The part before the colon.
        scheme: String,
    },
    /// The URL is of a known database, whose driver this program was built without.
    #[error("the driver for \"{scheme}\" is not compiled in")]
    DriverMissing {
        /// The part before the colon.
        scheme: String,
        /// The cargo feature of onerow that brings the driver.
        feature: &'static str,
    },
    /// Nothing answers at the address.
    #[error("no server answers at {server}")]
    ServerUnreachable {
        /// Host, port and database, or the file.
        server: String,
        /// The driver's words.
        source: DbErr,
    },
    /// The server does not accept the user name and password.
    #[error("{server} rejected the user name or password")]
    AuthenticationFailed {
        /// Host, port and database.
        server: String,
        /// The driver's words.
        source: DbErr,
    },
    /// The server has no such database, or there is no such file.
    #[error("there is no database {server}")]
    NoSuchDatabase {
        /// Host, port and database, or the file.
        server: String,
        /// The driver's words.
        source: DbErr,
    },
    /// The server has as many connections as it takes, for all of the [`wait_timeout`](crate::Up::wait_timeout) if in a run.
    #[error("{server} has no connection to give")]
    TooManyConnections {
        /// Host, port and database.
        server: String,
        /// The server's words.
        source: DbErr,
    },
    /// Connecting failed in another way.
    #[error("cannot connect to {server}")]
    Connect {
        /// Host, port and database, or the file.
        server: String,
        /// The driver's words.
        source: DbErr,
    },
    /// `up`, `status` or `disconnect` was called on the transaction that a migration is handed.
    #[error("this handle is the transaction of a running migration, not the pool")]
    NotAPool,

    /// The database holds a version that this build does not know.
    #[error(
        "the database is at version {version}, ahead of this build, whose last migration is {latest}; nothing was changed"
    )]
    Ahead {
        /// The version that the database holds.
        version: i32,
        /// The last version in the registry.
        latest: i32,
    },
    /// The version row holds something else than a version.
    #[error("{table} holds {found}, which is not a version; nothing was changed")]
    InvalidVersion {
        /// The registry's table.
        table: String,
        /// What stands in the row.
        found: String,
    },
    /// The version table has no row, and the seed's −1 row cannot be added.
    #[error("{table} has no row, and a row with only a version cannot be added; nothing was changed")]
    MissingRow {
        /// The registry's table.
        table: String,
        /// The server's reason: as a rule a further column that must be given.
        source: DbErr,
    },
    /// The version table has several rows.
    #[error("{table} holds {rows} rows instead of one; nothing was changed")]
    SeveralRows {
        /// The registry's table.
        table: String,
        /// How many rows.
        rows: usize,
    },
    /// There is a table of that name, of somebody else.
    #[error("the table {table} is not onerow's: it has no column \"version\"; nothing was changed")]
    ForeignTable {
        /// The registry's table.
        table: String,
        /// The server's words.
        source: DbErr,
    },
    /// Row-level security hides the version row from this user.
    #[error("row-level security hides the version row of {table} from this user; nothing was changed")]
    RowHidden {
        /// The registry's table.
        table: String,
    },
    /// The table is one by which somebody else could have his code run with this user's rights.
    #[error(
        "the table {table}, of the role {owner}, {}, and could run that role's code; nothing was changed",
        .has.as_deref().unwrap_or("belongs neither to this user nor to the database's owner")
    )]
    UntrustedTable {
        /// The registry's table.
        table: String,
        /// Whose it is.
        owner: String,
        /// What makes it so, if it is not its owner: a trigger, a rule, or that it is a view.
        has: Option<String>,
    },
    /// The database is a standby, or was opened read-only.
    #[error("the database is read-only{}; nothing more was changed", still_at(*.version))]
    ReadOnly {
        /// The version that the database holds, where it is known.
        version: Option<i32>,
        /// The server's words.
        source: DbErr,
    },
    /// The user has not the right.
    #[error("no right to {operation}{}; nothing more was changed", still_at(*.version))]
    PermissionDenied {
        /// What was tried.
        operation: String,
        /// The version that the database holds, where it is known.
        version: Option<i32>,
        /// The server's words.
        source: DbErr,
    },

    /// SQLite keeps no journal for the pool's connections, so that it could not roll a migration back.
    #[error(
        "journal_mode is OFF for this connection, so SQLite could not roll back a migration that fails; nothing was changed"
    )]
    NoJournal,
    /// The search path names no schema that is there, so the version row has no place.
    #[error("no schema of the search path {path} is there to hold {table}; nothing was changed")]
    NoSchema {
        /// The search path, as the server has it.
        path: String,
        /// The registry's table.
        table: String,
        /// The server's words.
        source: DbErr,
    },

    /// The name of the registry's table is none, or could be another registry's.
    #[error("{table:?} cannot be the table of a registry: {reason}; nothing was changed")]
    InvalidTable {
        /// The name, with its schema.
        table: String,
        /// Why not.
        reason: String,
    },
    /// The modules of [`registry!`](crate::registry!) do not go on where its base ends.
    #[error(
        "the registry goes on with {} where {} is next; nothing was changed",
        migration::module_name(*.found),
        migration::module_name(*.expected)
    )]
    Misnumbered {
        /// The number of the first module.
        found: i32,
        /// The number that is next.
        expected: i32,
    },

    /// There is no table of another migrator to [`adopt`](crate::Registry::adopt).
    #[error("there is no history to adopt: no table {}; nothing was changed", .looked_for.join(", "))]
    NoHistory {
        /// The tables that are not there.
        looked_for: Vec<String>,
    },
    /// There are tables of several migrators.
    #[error("there are histories of several migrators: {}; nothing was changed", tables_of(.tables))]
    SeveralHistories {
        /// Whose, and where.
        tables: Vec<(Tool, String)>,
    },
    /// The table is not that migrator's.
    #[error("the table {table} is not that of {tool}: it has no column \"{column}\"; nothing was changed")]
    ForeignHistory {
        /// The migrator.
        tool: Tool,
        /// The table.
        table: String,
        /// What it does not have.
        column: String,
    },
    /// The table is in another schema than the registry's.
    #[error(
        "the table {table} of {tool} is not in the schema {schema}, as the registry's is; nothing was changed"
    )]
    HistoryElsewhere {
        /// The migrator.
        tool: Tool,
        /// The table, with its schema.
        table: String,
        /// The schema of the registry's table.
        schema: String,
    },
    /// To read the table would run code of whoever owns it.
    #[error(
        "the table {table} of {tool} is not read, as that could run its owner's code: {reason}; nothing was changed"
    )]
    UnsafeHistory {
        /// The migrator.
        tool: Tool,
        /// The table.
        table: String,
        /// Why.
        reason: String,
    },
    /// The table has not the columns of any migrator that onerow knows.
    #[error("the table {table} is not that of a migrator that onerow knows; nothing was changed")]
    NoTool {
        /// The table.
        table: String,
    },
    /// What another migrator has applied is not what the registry begins with.
    #[error(
        "what {tool} has applied, by its table {table}, is not what the registry begins with; nothing was changed"
    )]
    HistoryMismatch {
        /// The migrator.
        tool: Tool,
        /// Its table.
        table: String,
        /// All that does not fit.
        #[source]
        problems: HistoryProblems,
    },
    /// Another session had the other migrator's table locked for all of the
    /// [`wait_timeout`](crate::Adopt::wait_timeout).
    #[error("waited {waited:.0?} for who has the table {table} locked; nothing was changed")]
    HistoryBusy {
        /// The table.
        table: String,
        /// How long this run waited.
        waited: Duration,
    },
    /// Another migrator has applied what is pending here.
    #[error(
        "{tool} has applied migrations that are pending here, by its table {table}; nothing was changed{}",
        still_at(Some(*.version))
    )]
    Unadopted {
        /// The migrator.
        tool: Tool,
        /// Its table.
        table: String,
        /// The version that the database holds.
        version: i32,
    },
    /// A [`baseline`](crate::Registry::baseline) is for a database that no other migrator has migrated.
    #[error(
        "{tool} has applied {applied} migration(s) to this database, by its table {table}; nothing was changed"
    )]
    BesideHistory {
        /// The migrator.
        tool: Tool,
        /// Its table.
        table: String,
        /// How many migrations.
        applied: usize,
    },
    /// A [`baseline`](crate::Registry::baseline) is for a database without a version.
    #[error("the database is at version {version} already; nothing was changed")]
    AlreadyVersioned {
        /// The version that the database holds.
        version: i32,
    },

    /// [`to`](crate::Up::to) names a version that the registry does not have.
    #[error("there is no migration {target}: this build has {}; nothing was changed", range(*.latest))]
    TargetBeyondLatest {
        /// The version asked for.
        target: i32,
        /// The last version in the registry.
        latest: i32,
    },
    /// [`to`](crate::Up::to) names a version below the database's.
    #[error(
        "the database is at version {version} and cannot go back to {target}: migrations are forward only"
    )]
    TargetBelowVersion {
        /// The version asked for.
        target: i32,
        /// The version that the database holds.
        version: i32,
    },

    /// A migration failed. All that came before it is applied.
    #[error("migration {} failed{}{}", migration::module_name(*.migration), undone(*.rolled_back, .failure), now_at(*.version))]
    MigrationFailed {
        /// The version of the migration.
        migration: i32,
        /// The version that the database holds, read after the failure; `None` where it could not be read.
        version: Option<i32>,
        /// Whether all the migration did is undone; false for one that is not transactional, or that left its transaction.
        rolled_back: bool,
        /// How it failed.
        #[source]
        failure: Failure,
    },
    /// Another runner held the version row for all of the [`wait_timeout`](crate::Up::wait_timeout).
    #[error(
        "waited {waited:.0?} for another runner{}{}",
        .holder.as_ref().map(|holder| format!(", {holder}")).unwrap_or_default(),
        now_at(*.version)
    )]
    WaitTimeout {
        /// How long this run waited.
        waited: Duration,
        /// The version that the database holds, where it could be read.
        version: Option<i32>,
        /// Who holds the row, where the server tells.
        holder: Option<ServerSession>,
    },
    /// The run was told to stop, by [`cancel_on`](crate::Up::cancel_on).
    #[error("stopped as told, before the next migration was complete{}", still_at(*.version))]
    Cancelled {
        /// The version that the database holds, where it could be read.
        version: Option<i32>,
    },
    /// The migration runs outside a transaction, beside the one that holds the version row, and only one connection is served.
    #[error(
        "{} runs outside a transaction and needs two connections at once, and the server, or a pooler before it, serves one{}",
        migration::module_name(*.migration),
        still_at(Some(*.version))
    )]
    OneConnection {
        /// The version of the migration.
        migration: i32,
        /// The version that the database holds.
        version: i32,
    },
    /// The connection broke in a `COMMIT`, and the database could not be asked since whether it took place.
    #[error(
        "the connection was lost while {} was committed; the database is at version {migration} or an earlier one",
        migration::module_name(*.migration)
    )]
    CommitInDoubt {
        /// The version of the migration.
        migration: i32,
        /// What broke.
        source: DbErr,
    },
    /// The database refused a statement of onerow's own.
    #[error("cannot {operation}{}", still_at(*.version))]
    Database {
        /// What was tried.
        operation: String,
        /// The version that the database holds, where it is known.
        version: Option<i32>,
        /// The server's words.
        source: DbErr,
    },
}

/// How a migration failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// [`migrate`](crate::MigrationTrait::migrate) returned an error.
    #[error(transparent)]
    Migrate(DbErr),
    /// [`validate`](crate::MigrationTrait::validate) returned an error.
    #[error("its validation failed")]
    Validate(#[source] DbErr),
    /// The code panicked.
    #[error("it panicked: {0}")]
    Panicked(String),
    /// SQLite's check before the commit found rows without their parent.
    #[error("it leaves {rows} more row(s) without the parent that a foreign key of table {table} asks for")]
    ForeignKeys {
        /// How many rows more than before the migration.
        rows: usize,
        /// The table of the first.
        table: String,
    },
    /// The migration itself sent `COMMIT` or `ROLLBACK`, or changed the version row.
    #[error(
        "it ended the transaction that it was handed, or changed the version row, and what it did may have been committed"
    )]
    EndedTransaction,
    /// The connection that held the version row was lost while the migration ran on its own.
    #[error("the connection that held the version row was lost")]
    ClaimLost(#[source] DbErr),
    /// Locks that other sessions hold stood in the way at each try.
    #[error("a lock was not to be had in {tries} tries{}", blocked_by(.blockers))]
    Blocked {
        /// How often the migration was tried.
        tries: u32,
        /// Who held the locks, where the server tells.
        blockers: Vec<ServerSession>,
        /// The server's words at the last try.
        #[source]
        source: DbErr,
    },
    /// It names the table of the tool that ran it before, which a database does not have that this tool has not migrated.
    #[error("it needs the table {table} of {tool}, which only a database has that {tool} has migrated")]
    OldTable {
        /// The tool.
        tool: Tool,
        /// Its table.
        table: String,
        /// The server's words.
        #[source]
        source: DbErr,
    },
    /// The version could not be moved, or the commit was refused.
    #[error("its commit was refused")]
    Commit(#[source] DbErr),
}

impl Failure {
    /// The database's refusal, where that is what failed.
    pub(crate) fn refusal(&self) -> Option<&DbErr> {
        match self {
            Self::Migrate(error) | Self::Validate(error) | Self::Commit(error) => Some(error),
            Self::OldTable { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl Error {
    pub(crate) fn database(source: DbErr) -> Self {
        Self::Database { operation: "reach the database".into(), version: None, source }
    }

    /// The version could not be read, since SQLite shuts readers out while a large change is written.
    pub(crate) fn being_written() -> Self {
        let source = DbErr::Custom("another process is writing a large change".into());
        Self::Database { operation: "read the version".into(), version: None, source }
    }

    /// Which variant it is, in words for machines: `migration_failed`. It stays the same when the text is reworded.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::InvalidUrl { .. } => "invalid_url",
            Self::UnknownScheme { .. } => "unknown_scheme",
            Self::DriverMissing { .. } => "driver_missing",
            Self::ServerUnreachable { .. } => "server_unreachable",
            Self::AuthenticationFailed { .. } => "authentication_failed",
            Self::NoSuchDatabase { .. } => "no_such_database",
            Self::TooManyConnections { .. } => "too_many_connections",
            Self::Connect { .. } => "connect",
            Self::NotAPool => "not_a_pool",
            Self::Ahead { .. } => "ahead",
            Self::InvalidVersion { .. } => "invalid_version",
            Self::MissingRow { .. } => "missing_row",
            Self::SeveralRows { .. } => "several_rows",
            Self::ForeignTable { .. } => "foreign_table",
            Self::RowHidden { .. } => "row_hidden",
            Self::UntrustedTable { .. } => "untrusted_table",
            Self::ReadOnly { .. } => "read_only",
            Self::PermissionDenied { .. } => "permission_denied",
            Self::NoJournal => "no_journal",
            Self::NoSchema { .. } => "no_schema",
            Self::InvalidTable { .. } => "invalid_table",
            Self::Misnumbered { .. } => "misnumbered",
            Self::NoHistory { .. } => "no_history",
            Self::SeveralHistories { .. } => "several_histories",
            Self::ForeignHistory { .. } => "foreign_history",
            Self::HistoryMismatch { .. } => "history_mismatch",
            Self::HistoryElsewhere { .. } => "history_elsewhere",
            Self::UnsafeHistory { .. } => "unsafe_history",
            Self::NoTool { .. } => "no_tool",
            Self::HistoryBusy { .. } => "history_busy",
            Self::Unadopted { .. } => "unadopted",
            Self::BesideHistory { .. } => "beside_history",
            Self::AlreadyVersioned { .. } => "already_versioned",
            Self::TargetBeyondLatest { .. } => "target_beyond_latest",
            Self::TargetBelowVersion { .. } => "target_below_version",
            Self::MigrationFailed { .. } => "migration_failed",
            Self::WaitTimeout { .. } => "wait_timeout",
            Self::Cancelled { .. } => "cancelled",
            Self::OneConnection { .. } => "one_connection",
            Self::CommitInDoubt { .. } => "commit_in_doubt",
            Self::Database { .. } => "database",
        }
    }

    /// The version that the database holds, where the error knows it.
    #[must_use]
    pub fn version(&self) -> Option<i32> {
        match self {
            Self::Ahead { version, .. }
            | Self::TargetBelowVersion { version, .. }
            | Self::Unadopted { version, .. }
            | Self::OneConnection { version, .. }
            | Self::AlreadyVersioned { version } => Some(*version),
            Self::ReadOnly { version, .. }
            | Self::PermissionDenied { version, .. }
            | Self::MigrationFailed { version, .. }
            | Self::WaitTimeout { version, .. }
            | Self::Cancelled { version }
            | Self::Database { version, .. } => *version,
            _ => None,
        }
    }

    /// What to do next, as a sentence for the operator.
    #[must_use]
    pub fn next_step(&self) -> String {
        let text = match self {
            Self::InvalidUrl { .. } => {
                "write it as postgres://user:password@host:5432/name, with special characters percent-encoded \
                 (@ is %40, / %2F, : %3A, ? %3F, # %23, % %25), or as sqlite://file.sqlite?mode=rwc"
            }
            Self::UnknownScheme { .. } => "use a URL that begins with postgres:// or sqlite://",
            Self::DriverMissing { feature, .. } => {
                return format!("build with the cargo feature \"{feature}\" of onerow");
            }
            Self::ServerUnreachable { .. } => {
                "check host and port, and that the server runs; in the URL, special characters of a password, \
                 such as @, / and :, are to be percent-encoded"
            }
            Self::AuthenticationFailed { .. } => {
                "check user name and password in DATABASE_URL, with special characters percent-encoded, and what the \
                 server's pg_hba.conf lets in"
            }
            Self::NoSuchDatabase { server, .. } if server.contains(':') => {
                "check the name in DATABASE_URL, or create it: cargo run -p migration -- create"
            }
            Self::NoSuchDatabase { .. } => "check the path, or create it: cargo run -p migration -- create",
            Self::TooManyConnections { .. } => {
                "try again when others have left, or raise the server's max_connections"
            }
            Self::Connect { .. } | Self::Database { .. } => {
                "mend what the cause says, then run: cargo run -p migration -- up"
            }
            Self::NotAPool => "call it with the Database that the app connected",
            Self::Ahead { .. } => "deploy the build that applied that version, or a later one",
            Self::InvalidVersion { .. }
            | Self::SeveralRows { .. }
            | Self::MissingRow { .. }
            | Self::ForeignTable { .. }
            | Self::RowHidden { .. }
            | Self::UntrustedTable { .. }
            | Self::NoSchema { .. }
            | Self::InvalidTable { .. } => return self.next_step_at_the_table(),
            Self::NoJournal => {
                "take journal_mode = OFF out of the pool's options: WAL is fast and can roll back"
            }
            Self::Misnumbered { expected, .. } => {
                return format!(
                    "rename the modules so that the first is {}, or see which migration is missing before them",
                    migration::module_name(*expected)
                );
            }
            Self::NoHistory { .. } => NO_HISTORY,
            Self::SeveralHistories { .. } => "say which to take over, by --from",
            Self::ForeignHistory { .. } | Self::NoTool { .. } => {
                "see whose that table is, and name the right one, by --from and --from-table"
            }
            Self::HistoryElsewhere { table, .. } => {
                return format!("if it is the right one, say so: --from-table {table}");
            }
            Self::UnsafeHistory { .. } => {
                "see who made it, and rename or drop what is not the old migrator's"
            }
            Self::HistoryMismatch { problems, .. } => return after_mismatch(&problems.0).into(),
            Self::HistoryBusy { .. } => "stop what runs the old migrator, and try again",
            Self::BesideHistory { .. } => {
                "take that over, having looked with --dry-run: cargo run -p migration -- adopt; or, where it is of \
                 another app, --beside-other-tools"
            }
            Self::Unadopted { .. } => {
                "take it over, having looked with --dry-run: cargo run -p migration -- adopt"
            }
            Self::AlreadyVersioned { .. } => "to apply what is pending: cargo run -p migration -- up",
            Self::ReadOnly { .. } => "connect to the primary, or open the file for writing",
            Self::PermissionDenied { .. } => {
                "grant the right, or run the migrations as the owner of the schema"
            }
            Self::TargetBeyondLatest { .. } => "leave --to out to apply all, or name one that status lists",
            Self::TargetBelowVersion { .. } => "mend a mistake with a new migration, or restore a backup",
            Self::MigrationFailed { failure, .. } => return after_failure(failure),
            Self::WaitTimeout { .. } => {
                "see whether that session is alive, end it if not, then run: cargo run -p migration -- up"
            }
            Self::Cancelled { .. } => "to go on: cargo run -p migration -- up",
            Self::OneConnection { .. } => {
                "connect to the server itself, or give the pooler two connections (pgbouncer: default_pool_size = 2), \
                 then run: cargo run -p migration -- up"
            }
            Self::CommitInDoubt { .. } => {
                "when the server is back, run: cargo run -p migration -- up (it finds out)"
            }
        };
        text.into()
    }

    /// The same, of what is wrong with the version table.
    fn next_step_at_the_table(&self) -> String {
        let text = match self {
            Self::InvalidVersion { table, .. } | Self::SeveralRows { table, .. } => {
                return format!(
                    "find out who wrote to it: if it is another tool's, keep the version in another table, by \
                     Registry::table; else leave one row with the version that is applied in {table}"
                );
            }
            Self::MissingRow { table, .. } => {
                return format!("insert the row by hand: INSERT INTO {table} (version, …) VALUES (-1, …)");
            }
            Self::ForeignTable { .. } => {
                "keep the version in another table, by Registry::table, or rename that one"
            }
            Self::RowHidden { table } => {
                return format!(
                    "let this user see the row, as the table's owner: ALTER TABLE {table} DISABLE ROW LEVEL SECURITY"
                );
            }
            Self::UntrustedTable { table, .. } => {
                return format!(
                    "see who made it and why; if it is right, make it an ordinary table without triggers and rules that the \
                     migrating role owns: ALTER TABLE {table} OWNER TO …"
                );
            }
            Self::NoSchema { .. } => {
                "have onerow make the schema, by Registry::schema; or make it first, by CREATE SCHEMA; or see that \
                 URL and role set another search_path"
            }
            Self::InvalidTable { .. } => "give it a name of its own, by Registry::table",
            _ => "",
        };
        text.into()
    }

    /// The causes, outermost first, down to the words of the server.
    #[must_use]
    pub fn causes(&self) -> Vec<String> {
        causes(self)
    }

    /// The error, its causes and the next step, one to a line, as the command line prints it.
    #[must_use]
    pub fn explain(&self) -> impl fmt::Display {
        Explanation(self)
    }
}

struct Explanation<'a>(&'a Error);

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}{}\n  {}", self.0, caused_by(&causes(self.0)), self.0.next_step())
    }
}

/// The causes as they are printed, each on a line of its own below the error; further lines of it
/// are indented.
pub(crate) fn caused_by(causes: &[String]) -> String {
    let indented = causes.iter().map(|cause| cause.replace('\n', "\n    "));
    indented.flat_map(|cause| ["\n  caused by: ".to_owned(), cause]).collect()
}

fn tables_of(tables: &[(Tool, String)]) -> String {
    tables.iter().map(|(tool, table)| format!("{table} of {tool}")).collect::<Vec<_>>().join(", ")
}

/// After [`Error::NoHistory`].
const NO_HISTORY: &str = "name the table, by --from-table; for a new database, --if-any; or say what is applied: \
    cargo run -p migration -- baseline VERSION";

fn after_failure(failure: &Failure) -> String {
    match failure {
        Failure::Blocked { .. } => {
            "wait for those sessions or end them, then run: cargo run -p migration -- up".into()
        }
        Failure::OldTable { table, .. } => format!(
            "take the statement out of the script, or on PostgreSQL run it only where the table is, in a DO block by \
             IF pg_catalog.to_regclass('{table}') IS NOT NULL; then run: cargo run -p migration -- up"
        ),
        _ => "to retry after fixing it: cargo run -p migration -- up".into(),
    }
}

fn after_mismatch(problems: &[HistoryProblem]) -> &'static str {
    let all = |is_of: fn(&HistoryProblem) -> bool| problems.iter().all(is_of);
    if all(|problem| matches!(problem, HistoryProblem::OutOfOrder { .. })) {
        "list them in the order in which they were applied; or, where the outcome is the same, --out-of-order"
    } else if all(|problem| matches!(problem, HistoryProblem::BackgroundPending { .. })) {
        "run the app with quart-db once more, until they have run"
    } else if all(|problem| matches!(problem, HistoryProblem::OtherNumber { .. })) {
        "keep the registry's version in another table, by Registry::table, then adopt"
    } else if all(|problem| matches!(problem, HistoryProblem::Missing { .. })) {
        "apply what is missing with the old migrator, then adopt"
    } else {
        "mend the registry, or the database with the old migrator, until both say the same, then adopt"
    }
}

/// The causes, outermost first, down to the words of the server.
pub(crate) fn causes(error: &Error) -> Vec<String> {
    if let Error::HistoryMismatch { problems, .. } = error {
        return problems.0.iter().map(ToString::to_string).collect();
    }
    let mut causes = Vec::new();
    for cause in std::iter::successors(error.source(), |&cause| cause.source()) {
        if let Some(Failure::Migrate(error)) = cause.downcast_ref() {
            causes.push(backend::words_and_place(error));
            break;
        }
        if let Some(error) = cause.downcast_ref() {
            causes.push(backend::words_and_place(error));
            break;
        }
        causes.push(cause.to_string());
    }
    causes
}

fn still_at(version: Option<i32>) -> String {
    version.map(|version| format!("; the database is at version {version}")).unwrap_or_default()
}

fn now_at(version: Option<i32>) -> String {
    version.map_or_else(
        || "; the version of the database could not be read".into(),
        |version| still_at(Some(version)),
    )
}

fn undone(rolled_back: bool, failure: &Failure) -> &'static str {
    match failure {
        _ if rolled_back => " and was rolled back",
        Failure::EndedTransaction => "",
        // All that was left was to move the version.
        Failure::Commit(_) | Failure::Blocked { .. } => " outside a transaction, when its work was done",
        _ => " outside a transaction, so its work may be half done",
    }
}

fn range(latest: i32) -> String {
    if latest < 0 { "none".into() } else { format!("0 to {latest}") }
}

fn blocked_by(blockers: &[ServerSession]) -> String {
    if blockers.is_empty() {
        return String::new();
    }
    let names: Vec<_> = blockers.iter().map(ToString::to_string).collect();
    format!("; held by {}", names.join(" and "))
}
