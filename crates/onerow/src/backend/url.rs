//! The URLs of databases. No piece of a password gets out of one, however it is written.

#[cfg(feature = "sqlite")]
use sea_orm::sqlx::sqlite::SqliteConnectOptions;
#[cfg(feature = "postgres")]
use sea_orm::sqlx::{self, postgres::PgConnectOptions};
#[cfg(feature = "postgres")]
use tracing::subscriber::{NoSubscriber, with_default};

use crate::error::{Error, ErrorKind};

/// The beginning of a URL, for each backend that is compiled in.
pub(super) enum Scheme {
    #[cfg(feature = "postgres")]
    Postgres,
    #[cfg(feature = "sqlite")]
    Sqlite,
}

/// Reads the scheme. SeaORM never gets a bad URL: its error would repeat it, password included.
pub(super) fn scheme(url: &str) -> Result<Scheme, Error> {
    // A text like `host=… password=…` is no URL, but may contain a colon: do not repeat any of it.
    let Some((scheme, _)) = url.split_once(':').filter(|(scheme, _)| is_word(scheme)) else {
        return Err(invalid("it does not begin with a scheme and a colon"));
    };
    match scheme {
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => Ok(Scheme::Postgres),
        #[cfg(not(feature = "postgres"))]
        scheme @ ("postgres" | "postgresql") => Err(without_driver(scheme, "postgres")),
        #[cfg(feature = "sqlite")]
        "sqlite" => Ok(Scheme::Sqlite),
        #[cfg(not(feature = "sqlite"))]
        scheme @ "sqlite" => Err(without_driver(scheme, "sqlite")),
        scheme => Err(unknown(scheme)),
    }
}

fn is_word(scheme: &str) -> bool {
    scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

pub(super) fn invalid(reason: &str) -> Error {
    Error::new(ErrorKind::InvalidUrl, format!("the database URL does not parse: {reason}"))
}

pub(super) fn unknown(scheme: &str) -> Error {
    Error::new(ErrorKind::UnknownScheme, format!("unknown database scheme \"{scheme}\""))
}

#[cfg(not(all(feature = "postgres", feature = "sqlite")))]
fn without_driver(scheme: &str, feature: &str) -> Error {
    let message = format!(
        "the driver for \"{scheme}\" is not compiled in: it needs the cargo feature \
         \"{feature}\" of onerow"
    );
    Error::new(ErrorKind::DriverMissing, message)
}

/// Parses a URL of PostgreSQL. An IPv6 address stands in brackets, which the driver takes for a
/// part of the name.
#[cfg(feature = "postgres")]
pub(super) fn postgres(url: &str) -> Result<PgConnectOptions, Error> {
    refuse_unencoded(url)?;
    // Nobody hears the driver's warnings: it repeats each parameter that it does not know, which
    // may be a piece of a password.
    let parsed: Result<PgConnectOptions, _> = with_default(NoSubscriber::default(), || url.parse());
    match parsed {
        Ok(options) => Ok(without_brackets(options)),
        Err(sqlx::Error::Configuration(reason)) => Err(invalid(&reason.to_string())),
        Err(error) => Err(invalid(&error.to_string())),
    }
}

#[cfg(feature = "postgres")]
pub(super) fn without_brackets(options: PgConnectOptions) -> PgConnectOptions {
    let address = options.get_host().strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match address.map(str::to_owned) {
        Some(address) => options.host(&address),
        None => options,
    }
}

/// Refuses a URL whose password contains a `/`, a `?` or a `#`.
///
/// The driver would cut the password there, and take a piece of it for the host, the port or the
/// database. (It takes the last `@` before these characters for the one that counts.)
#[cfg(feature = "postgres")]
fn refuse_unencoded(url: &str) -> Result<(), Error> {
    let Some((_, rest)) = url.split_once("://") else {
        return Err(invalid("its scheme is not followed by ://"));
    };
    let (before_query, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = before_query.split_once('/').map(|(_, path)| path);
    let is_plain = match path {
        Some(path) => !path.contains('@') && query.split('&').all(is_plain_parameter),
        None => !query.contains('@'),
    };
    if is_plain && !rest.contains('#') {
        return Ok(());
    }
    Err(invalid(
        "its user name, password or database holds an @, a /, a ? or a # that is not \
         percent-encoded",
    ))
}

/// Whether a parameter has no `@`, or is one of those whose value may have one.
#[cfg(feature = "postgres")]
fn is_plain_parameter(parameter: &str) -> bool {
    const MAY_HAVE_ONE: [&str; 7] =
        ["user", "password", "host", "dbname", "application_name", "options", "sslrootcert"];
    let name = parameter.split(['=', '[']).next().unwrap_or_default();
    !parameter.contains('@') || MAY_HAVE_ONE.contains(&name)
}

/// Parses a URL of SQLite. The driver's own error is dropped: it repeats the parameters, and with
/// them the key of an encrypted file.
#[cfg(feature = "sqlite")]
pub(super) fn sqlite(url: &str) -> Result<SqliteConnectOptions, Error> {
    url.parse().map_err(|_| {
        invalid(
            "SQLite takes the parameters mode (ro, rw, rwc, memory), cache (shared, private), \
             immutable (true, false) and vfs, and a path in UTF-8",
        )
    })
}
