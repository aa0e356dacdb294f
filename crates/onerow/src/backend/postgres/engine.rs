//! What the server is: PostgreSQL, a version of it that is too old, or another engine that speaks
//! its protocol.

use sea_orm::{
    DbErr,
    sqlx::{self, PgExecutor, Row},
};

use crate::error::{Error, ErrorKind};

/// The oldest version that onerow is tested on.
const OLDEST: u32 = 13;

/// Engines by a word of their `version()`, and what keeps a promise of onerow's from holding there.
/// `docs/servers.md` names the sources.
const OTHERS: [(&str, &str, &str); 10] = [
    (
        "CockroachDB",
        "CockroachDB",
        "it does not change the schema together with the version, so a migration that fails may \
         stay half done",
    ),
    (
        "-YB-",
        "YugabyteDB",
        "it lacks the column xmax, by which a run makes sure that it holds the version row",
    ),
    (
        "RisingWave",
        "RisingWave",
        "it has no transactions, so a migration that fails stays half done",
    ),
    ("CrateDB", "CrateDB", "it has no transactions, so a migration that fails stays half done"),
    // The `version()` of these also holds PostgreSQL's words.
    ("Cloudberry", "Cloudberry", UNTESTED),
    ("Greenplum", "Greenplum", UNTESTED),
    ("QuestDB", "QuestDB", UNTESTED),
    ("Redshift", "Redshift", UNTESTED),
    ("GaussDB", "GaussDB", UNTESTED),
    ("openGauss", "openGauss", UNTESTED),
];

const UNTESTED: &str = "it may not commit a migration together with its version";

/// What the server is, in SQL.
pub(super) const VERSION: &str = "pg_catalog.version()";

/// Asks for that alone.
pub(super) const ASK: &str = "SELECT pg_catalog.version()";

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
        Engine::Other { name, breaks } if !on_unverified_engine => Err(unverified(&name, breaks)),
        Engine::Postgres { .. } | Engine::Other { .. } => Ok(()),
    }
}

/// The error if another engine than PostgreSQL has refused a statement that PostgreSQL executes.
pub(super) async fn blamed(server: impl PgExecutor<'_>, refusal: DbErr) -> Result<DbErr, Error> {
    let asked = sqlx::raw_sql(ASK).fetch_one(server).await;
    let version = asked.and_then(|row| row.try_get_unchecked::<String, _>(0));
    match version.as_deref().map(Engine::of) {
        Ok(Engine::Other { name, .. }) => {
            let message = format!("the server is {name}, and refuses a statement of onerow's");
            Err(Error::new(ErrorKind::UnverifiedEngine, message).because(refusal))
        }
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
enum Engine {
    Postgres { major: u32 },
    Other { name: String, breaks: &'static str },
}

impl Engine {
    /// Reads `version()`.
    ///
    /// PostgreSQL's build system writes `PostgreSQL 16.4 (Debian 16.4-1) on x86_64-pc-linux-gnu,
    /// compiled by gcc …`; the words in brackets are the packager's, and Windows has no `on …`. An
    /// engine that imitates it says less, such as `PostgreSQL 16`, or has a name of its own there.
    fn of(version: &str) -> Self {
        if let Some((_, name, breaks)) = OTHERS.iter().find(|(word, ..)| version.contains(word)) {
            return Self::Other { name: (*name).to_owned(), breaks };
        }
        match major(version) {
            Some(major) if version.contains(", compiled by ") => Self::Postgres { major },
            _ => Self::Other {
                name: format!(
                    "not quite PostgreSQL (it calls itself {:.80})",
                    format!("{version:?}")
                ),
                breaks: UNTESTED,
            },
        }
    }
}

fn major(version: &str) -> Option<u32> {
    let number = version.strip_prefix("PostgreSQL ")?;
    number.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postgres_is_known_whoever_has_built_it() {
        for (version, major) in [
            (
                "PostgreSQL 15.18 (Debian 15.18-0+deb12u1) on x86_64-pc-linux-gnu, compiled by gcc \
                 (Debian 12.2.0-14+deb12u1) 12.2.0, 64-bit",
                15,
            ),
            ("PostgreSQL 16.8, compiled by Visual C++ build 1942, 64-bit", 16),
            ("PostgreSQL 18.3 on x86_64-windows, compiled by msvc-19.44.35223, 64-bit", 18),
            ("PostgreSQL 19beta1 on x86_64-pc-linux-gnu, compiled by gcc 15.2.0, 64-bit", 19),
            // Amazon RDS and Aurora.
            (
                "PostgreSQL 15.6 on aarch64-unknown-linux-gnu, compiled by \
                 aarch64-unknown-linux-gnu-gcc (GCC) 9.5.0, 64-bit",
                15,
            ),
            // Cloud SQL and AlloyDB.
            ("PostgreSQL 17.9 on x86_64-pc-linux-gnu, compiled by Debian clang version 12.0.1", 17),
            // Neon.
            (
                "PostgreSQL 17.8 (a48d9ca) on aarch64-unknown-linux-gnu, compiled by gcc (Debian \
                 12.2.0-14+deb12u1) 12.2.0, 64-bit",
                17,
            ),
            (
                "PostgreSQL 18.6 (PGlite 0.5.16) on wasm32-unknown-emscripten, compiled by emcc \
                 6.0.13, 32-bit",
                18,
            ),
            (
                "PostgreSQL 18.4 - Percona Server for PostgreSQL 18.4.1 on x86_64-pc-linux-gnu, \
                 compiled by gcc 12.2.0, 64-bit",
                18,
            ),
            (
                "PostgreSQL 17.4 (EnterpriseDB Advanced Server 17.4.0) on x86_64-pc-linux-gnu, \
                 compiled by gcc 11.5.0, 64-bit",
                17,
            ),
        ] {
            assert_eq!(Engine::of(version), Engine::Postgres { major }, "{version}");
        }
    }

    #[test]
    fn no_other_engine_is_taken_for_postgres() {
        for version in [
            "CockroachDB CCL v26.2.5 (x86_64-pc-linux-gnu, built 2026/07/28 18:56:00, go1.25.5)",
            "PostgreSQL 15.12-YB-2026.1.0.1-b0 on x86_64-pc-linux-gnu, compiled by clang 21.1.1",
            // Aurora DSQL, and Spanner by its PGAdapter.
            "PostgreSQL 16",
            "PostgreSQL 14.1",
            "PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC gcc 3.4.2, Redshift 1.0.48805",
            "PostgreSQL 9.5 on x86_64-unknown-linux-gnu (Materialize 26.36.0)",
            "PostgreSQL 13.14.0-RisingWave-3.0.2 (391c3a16)",
            "PostgreSQL 12.3, compiled by Visual C++ build 1914, 64-bit, QuestDB",
            "PostgreSQL 16.3 compatible CedarDB v2025-08-20",
            "CrateDB 5.2.3 (built 5f22d8f/NA, Linux 5.15, OpenJDK 64-Bit Server VM 19.0.2)",
            "PostgreSQL 14.4 (Apache Cloudberry 2.0.0-incubating build 1) on \
             aarch64-unknown-linux-gnu, compiled by gcc (GCC) 11.4.1, 64-bit",
            "PostgreSQL 12.12 (Greenplum Database 7.4.0 build commit:27de6) on \
             x86_64-pc-linux-gnu, compiled by gcc (GCC) 8.5.0, 64-bit compiled on Dec  4 2024",
            "PostgreSQL 9.2.4 (openGauss 1.1.0 build 392c0438) compiled at 2020-12-31 on \
             x86_64-unknown-linux-gnu, compiled by g++ (GCC) 7.3.0, 64-bit",
            "",
        ] {
            assert!(matches!(Engine::of(version), Engine::Other { .. }), "{version}");
        }
    }
}
