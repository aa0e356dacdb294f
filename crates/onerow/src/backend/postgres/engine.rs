//! What the server is: PostgreSQL, a version of it that is too old, or another engine that speaks
//! its protocol.

use sea_orm::{
    DbErr,
    sqlx::{self, AssertSqlSafe, PgExecutor, Row},
};

use crate::error::{Error, ErrorKind};

/// The oldest version that onerow is tested on.
const OLDEST: u32 = 13;

/// Engines by what is in their `version()`, and why a migration and its version would not be
/// committed together there. The sources are in `docs/servers.md`.
const OTHERS: [(&str, &str, &str); 2] = [
    (
        "CockroachDB",
        "CockroachDB",
        "it commits before each statement that changes the schema, so a migration that fails would \
         not be rolled back",
    ),
    (
        "-YB-",
        "YugabyteDB",
        "unless it is set otherwise, it changes the schema outside the transaction, so a migration \
         that fails would not be rolled back",
    ),
];

const UNKNOWN: &str = "nobody has tested whether it commits a migration together with its version";

/// The SQL of the server's answer to what it is.
pub(super) const VERSION: &str = "pg_catalog.version()";

/// Fails if a run on this server could not keep its promises, as far as `version()` tells.
pub(super) fn admit(version: &str, on_unverified_engine: bool) -> Result<(), Error> {
    match Engine::of(version) {
        Engine::Postgres { major } if major < OLDEST => {
            let message = format!(
                "the server is PostgreSQL {major}, and onerow needs PostgreSQL {OLDEST} or later; \
                 nothing was changed"
            );
            Err(Error::new(ErrorKind::ServerTooOld, message))
        }
        Engine::Other { name, breaks } if !on_unverified_engine => Err(unverified(name, breaks)),
        Engine::Postgres { .. } | Engine::Other { .. } => Ok(()),
    }
}

/// The error if another engine than PostgreSQL has refused a statement of onerow's.
pub(super) async fn blamed(server: impl PgExecutor<'_>, refusal: DbErr) -> Result<DbErr, Error> {
    let asked = sqlx::raw_sql(AssertSqlSafe(format!("SELECT {VERSION}"))).fetch_one(server).await;
    let version = asked.and_then(|row| row.try_get_unchecked::<String, _>(0));
    match version.as_deref().map(Engine::of) {
        Ok(Engine::Other { name, breaks }) => Err(unverified(name, breaks).because(refusal)),
        _ => Ok(refusal),
    }
}

fn unverified(name: &str, breaks: &str) -> Error {
    let message = format!(
        "the server is {name}, and onerow is not tested there: {breaks}; nothing was changed"
    );
    Error::new(ErrorKind::UnverifiedEngine, message)
}

/// What a server is.
#[derive(Debug, PartialEq, Eq)]
enum Engine<'a> {
    Postgres { major: u32 },
    Other { name: &'a str, breaks: &'static str },
}

impl<'a> Engine<'a> {
    /// Reads `version()`.
    ///
    /// PostgreSQL and its forks say `PostgreSQL 16.4 (Debian 16.4-1) on x86_64-pc-linux-gnu,
    /// compiled by gcc …`, because its build system writes that. An engine that imitates it says
    /// less, such as `PostgreSQL 16`.
    fn of(version: &'a str) -> Self {
        let is_named = |(mark, ..): &&(&str, &str, &str)| version.contains(mark);
        if let Some((_, name, breaks)) = OTHERS.iter().find(is_named) {
            return Self::Other { name, breaks };
        }
        match major(version) {
            Some(major) if version.contains(", compiled by ") => Self::Postgres { major },
            _ => Self::Other { name: version, breaks: UNKNOWN },
        }
    }
}

fn major(version: &str) -> Option<u32> {
    let number = version.strip_prefix("PostgreSQL ")?;
    number.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}
