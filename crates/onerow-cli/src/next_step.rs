//! What to type next, after each kind of error of the engine.

use std::{
    env,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use onerow::{Error, ErrorKind, Failure, HistoryProblem};

/// What to do after this error, as a sentence for the operator.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let error = onerow::Database::connect("mysql://localhost/shop").await.unwrap_err();
/// assert_eq!(
///     onerow_cli::next_step(&error),
///     "use a URL that begins with postgres:// or sqlite://"
/// );
/// # }
/// ```
#[must_use]
pub fn next_step(error: &Error) -> String {
    let (step, table) = match error.failure() {
        Some(Failure::OldTable { table, .. }) => (AT_OLD_TABLE, Some(table.as_str())),
        Some(Failure::Blocked { .. }) => (BLOCKED, None),
        _ if error.kind() == ErrorKind::HistoryMismatch => (after_mismatch(error.problems()), None),
        // A server has a port.
        _ if error.kind() == ErrorKind::NoSuchDatabase && !error.to_string().contains(':') => {
            ("check the path, or create it: {program} create", None)
        }
        // It is not the run that is refused, but a statement.
        _ if error.kind() == ErrorKind::UnverifiedEngine && !error.causes().is_empty() => {
            ("use PostgreSQL", None)
        }
        _ => (after(error.kind()), error.table()),
    };
    with_program(step).replace("{table}", table.unwrap_or_default())
}

/// The same text, with this program's command line for `{program}`.
pub(super) fn with_program(text: &str) -> String {
    text.replace("{program}", program())
}

/// What this program was called by, without its directory.
pub(super) fn called_as() -> String {
    let called = env::args_os().next().map(PathBuf::from).unwrap_or_default();
    called.file_name().map_or("migration".into(), |name| name.to_string_lossy().into_owned())
}

static PROGRAM: OnceLock<String> = OnceLock::new();

/// How to call the command line over an app's migrations. An app that prints an error is not that
/// program itself, so there it is the crate that the guides call `migration`.
fn program() -> &'static str {
    PROGRAM.get().map_or("cargo run -p migration --", String::as_str)
}

/// Says that this program is the command line over an app's migrations.
pub(super) fn this_is_the_program() {
    let name = called_as();
    let by_cargo = env::var_os("CARGO").is_some() || is_where_cargo_built_it();
    let _ = PROGRAM.set(if by_cargo { format!("cargo run -p {name} --") } else { name });
}

/// Cargo keeps what it built a program from beside the program. A copy in an image has no such
/// neighbour.
fn is_where_cargo_built_it() -> bool {
    let program = env::current_exe().unwrap_or_default();
    program.parent().map(|dir| dir.join("deps")).is_some_and(|deps| Path::is_dir(&deps))
}

const AT_OLD_TABLE: &str = "take the statement out of the script, or on PostgreSQL run it only if \
    the table is there, in a DO block by IF pg_catalog.to_regclass('{table}') IS NOT NULL; \
    then run: {program} up";
const BLOCKED: &str = "wait for those sessions or end them, then run: {program} up";

fn after(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::MigrationFailed => "to retry after fixing it: {program} up",
        ErrorKind::WaitTimeout => {
            "find out whether that session is alive, end it if it is not, then run: {program} up"
        }
        ErrorKind::Cancelled => "to go on: {program} up",
        ErrorKind::OneConnection => {
            "connect to the server itself, or give the pooler two connections (pgbouncer: \
             default_pool_size = 2), then run: {program} up"
        }
        ErrorKind::CommitInDoubt => {
            "when the server is back, run: {program} up (it finds out what was committed)"
        }
        ErrorKind::Ahead => "deploy the build that applied that version, or a later one",
        ErrorKind::TargetBeyondLatest => {
            "leave --to out to apply everything, or name a version that status lists"
        }
        ErrorKind::TargetBelowVersion => "fix a mistake with a new migration, or restore a backup",
        ErrorKind::Misnumbered => {
            "rename the modules so that their numbers follow on, or find the migration that is \
             missing before them"
        }
        kind => to_connect(kind)
            .or_else(|| at_the_table(kind))
            .or_else(|| to_adopt(kind))
            .unwrap_or(OTHER),
    }
}

const OTHER: &str = "fix what the cause says, then run: {program} up";

fn to_connect(kind: ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::InvalidUrl => {
            "write it as postgres://user:password@host:5432/name, with special characters \
             percent-encoded (@ is %40, / %2F, : %3A, ? %3F, # %23, % %25), \
             or as sqlite://file.sqlite?mode=rwc"
        }
        ErrorKind::UnknownScheme => "use a URL that begins with postgres:// or sqlite://",
        ErrorKind::DriverMissing => "add that feature to onerow in Cargo.toml, and build again",
        ErrorKind::ServerUnreachable => {
            "check host and port, and that the server runs; special characters of a password in \
             the URL, such as @, / and :, have to be percent-encoded"
        }
        ErrorKind::AuthenticationFailed => {
            "check user name and password in DATABASE_URL, with special characters \
             percent-encoded, and that the server's pg_hba.conf lets this user in"
        }
        ErrorKind::NoSuchDatabase => {
            "check the name in DATABASE_URL, or create it: {program} create"
        }
        ErrorKind::TooManyConnections => {
            "try again when others have disconnected, or raise the server's max_connections"
        }
        ErrorKind::NotAPool => "call it with the Database that the app connected",
        ErrorKind::NoJournal => {
            "remove journal_mode = OFF from the pool's options: WAL is fast and can roll back"
        }
        ErrorKind::UnverifiedEngine => {
            "use PostgreSQL; or, if you have tested that this engine rolls back what it changes in \
             a schema, use --on-unverified-engine"
        }
        ErrorKind::ServerTooOld => {
            "upgrade the server: https://www.postgresql.org/docs/current/upgrading.html"
        }
        ErrorKind::ReadOnly => "connect to the primary, or open the file for writing",
        ErrorKind::PermissionDenied => {
            "grant the right, or run the migrations as the owner of the schema"
        }
        _ => return None,
    })
}

fn at_the_table(kind: ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::InvalidVersion | ErrorKind::SeveralRows => {
            "find out who wrote to it; if another tool did, keep the version in another table, by \
             Registry::with_table; if not, leave one row in {table}, with the version that is \
             applied"
        }
        ErrorKind::MissingRow => {
            "insert the row by hand: INSERT INTO {table} (version, …) VALUES (-1, …)"
        }
        ErrorKind::ForeignTable => {
            "keep the version in another table, by Registry::with_table, or rename that one"
        }
        ErrorKind::RowHidden => {
            "as the table's owner, let this user see the row: \
             ALTER TABLE {table} DISABLE ROW LEVEL SECURITY"
        }
        ErrorKind::UntrustedTable => {
            "find out who made it and why; if it is right, make it an ordinary table without \
             triggers and rules, owned by the migrating role: ALTER TABLE {table} OWNER TO …"
        }
        ErrorKind::NoSchema => {
            "let onerow create the schema, by Registry::in_schema; or run CREATE SCHEMA first; or \
             set another search_path: by --database-schema, in the URL or for the role"
        }
        ErrorKind::InvalidTable => "give it a name of its own, by Registry::with_table",
        _ => return None,
    })
}

fn to_adopt(kind: ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::NoHistory => {
            "name the table with --from-table; for a new database, use --if-any; \
             or record what is applied: {program} baseline VERSION"
        }
        ErrorKind::SeveralHistories => "say with --from which one to take over",
        ErrorKind::ForeignHistory | ErrorKind::NoTool => {
            "find out whose table that is, and name the right one with --from and --from-table"
        }
        ErrorKind::HistoryElsewhere => "if it is the right one, say so: --from-table {table}",
        ErrorKind::UnsafeHistory => {
            "find out who made it, and rename or drop it if it is not the other tool's"
        }
        ErrorKind::HistoryMismatch => MISMATCH,
        ErrorKind::HistoryBusy => "stop the program that runs the other tool, and try again",
        ErrorKind::BesideHistory => {
            "look with --dry-run, then take that over: {program} adopt; \
             or, if it is another app's, use --beside-other-tools"
        }
        ErrorKind::Unadopted => "look with --dry-run, then take it over: {program} adopt",
        ErrorKind::AlreadyVersioned => "to apply what is pending: {program} up",
        _ => return None,
    })
}

const MISMATCH: &str =
    "fix the registry, or the database with the other tool, until both say the same, then adopt";

fn after_mismatch(problems: &[HistoryProblem]) -> &'static str {
    let all = |is_of: fn(&HistoryProblem) -> bool| problems.iter().all(is_of);
    if all(|problem| matches!(problem, HistoryProblem::OutOfOrder { .. })) {
        "list them in the order in which they were applied; or, if the outcome is the same, use \
         --out-of-order"
    } else if all(|problem| matches!(problem, HistoryProblem::BackgroundPending { .. })) {
        "run the app with quart-db once more, until they have run"
    } else if all(|problem| matches!(problem, HistoryProblem::OtherNumber { .. })) {
        "keep the registry's version in another table, by Registry::with_table, then adopt"
    } else if all(|problem| matches!(problem, HistoryProblem::Missing { .. })) {
        "apply what is missing with the other tool, then adopt"
    } else {
        MISMATCH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_next_step_unless_only_the_cause_can_tell() {
        let others = ErrorKind::ALL.iter().filter(|kind| after(**kind) == OTHER);
        assert_eq!(others.collect::<Vec<_>>(), [&ErrorKind::Connect, &ErrorKind::Database]);
    }
}
