//! The databases of a server.

use std::{net::IpAddr, time::Duration};

use async_trait::async_trait;
use onerow_sql::quoted_name;
use sea_orm::{
    ConnectOptions,
    sqlx::{self, AssertSqlSafe, Connection, Executor, PgConnection, postgres::PgConnectOptions},
};
use tokio::time::timeout;

use super::{
    Postgres,
    engine::{self, ASK},
    fault,
    reaching::{address, database},
};
use crate::{
    backend::{
        databases::{Databases, Location, Unanswered},
        fault::{Fault, connect_error, permission_denied},
        url,
    },
    driver::{code, query_error},
    error::{Error, ErrorKind},
};

/// How long a server may take to serve a connection. One that accepts it and says nothing is no
/// server.
const CONNECT: Duration = Duration::from_secs(10);

/// Databases that every server has, to connect to while another is created or dropped.
const MAINTENANCE: [&str; 2] = ["postgres", "template1"];

#[async_trait]
impl Databases for Postgres {
    fn locate(&self, url: &str) -> Result<Location, Error> {
        let options = url::postgres(url)?;
        let host = options.get_host();
        let is_local = options.get_socket().is_some()
            || host.starts_with('/')
            || host == "localhost"
            || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
        let database = database(&options).to_owned();
        let server = address(&options);
        let server = server.strip_suffix(&format!("/{database}")).unwrap_or(&server).to_owned();
        let user = Some(options.get_username().to_owned());
        Ok(Location { database, server: Some(server), user, is_local })
    }

    async fn answers(&self, url: &str) -> Result<(), Unanswered> {
        let options = url::postgres(url)?;
        let error = match PgConnection::connect_with(&options).await {
            Ok(connection) => return close(connection, &options).await.map_err(Unanswered::Never),
            Err(error) => error,
        };
        let code = code(&error).unwrap_or_default().into_owned();
        let error = refused(&options, error);
        match (&*code, error.kind()) {
            (_, ErrorKind::NoSuchDatabase) => Ok(()),
            // It is starting up, or all its connections are taken.
            ("57P03" | "53300", _) | (_, ErrorKind::ServerUnreachable) => {
                Err(Unanswered::NotYet(error))
            }
            _ => Err(Unanswered::Never(error)),
        }
    }

    fn set_search_path(&self, options: &mut ConnectOptions, schemas: &str) -> bool {
        let path = if schemas.starts_with('"') {
            schemas.to_owned()
        } else {
            let names: Vec<_> = schemas.split(',').map(str::trim).map(quoted_name).collect();
            names.join(",")
        };
        // From the start of the session: a `SET` would stay with the session of a pooler, and reach
        // the next client that gets it.
        options.map_sqlx_postgres_opts(move |options| options.options([("search_path", &path)]));
        true
    }

    async fn admit(&self, url: &str, on_unverified_engine: bool) -> Result<(), Error> {
        let options = url::postgres(url)?;
        let mut connection = maintenance(&options).await?;
        let asked = sqlx::query_scalar(ASK).fetch_one(&mut connection).await;
        close(connection, &options).await?;
        let version: String = asked.map_err(|error| Error::cannot_reach(query_error(error)))?;
        engine::admit(&version, on_unverified_engine)
    }

    async fn may_create(&self, url: &str) -> Result<bool, Error> {
        let options = url::postgres(url)?;
        let sql = "SELECT rolsuper OR rolcreatedb FROM pg_catalog.pg_roles
                   WHERE rolname OPERATOR(pg_catalog.=) current_user";
        let mut connection = maintenance(&options).await?;
        let may = sqlx::query_scalar(sql).fetch_one(&mut connection).await;
        close(connection, &options).await?;
        may.map_err(|error| failed("create", &options, error))
    }

    async fn create(&self, url: &str) -> Result<bool, Error> {
        let options = url::postgres(url)?;
        // Users that may use it need not have the right to create one.
        if let Ok(Ok(connection)) = timeout(CONNECT, PgConnection::connect_with(&options)).await {
            close(connection, &options).await?;
            return Ok(false);
        }
        let sql = format!("CREATE DATABASE {}", quoted_name(database(&options)));
        match maintain(&options, sql).await? {
            Ok(()) => Ok(true),
            // It exists, or somebody else is creating it.
            Err(error) if matches!(code(&error).as_deref(), Some("42P04" | "23505")) => Ok(false),
            Err(error) => Err(failed("create", &options, error)),
        }
    }

    async fn drop(&self, url: &str) -> Result<bool, Error> {
        let options = url::postgres(url)?;
        // Forced, so that nobody has to hunt for the sessions of an app that still runs.
        let sql = format!("DROP DATABASE {} WITH (FORCE)", quoted_name(database(&options)));
        match maintain(&options, sql).await? {
            Ok(()) => Ok(true),
            Err(error) if fault(&error) == Fault::NoDatabase => Ok(false),
            Err(error) => Err(failed("drop", &options, error)),
        }
    }
}

/// Runs SQL on a maintenance database.
async fn maintain(
    options: &PgConnectOptions,
    sql: String,
) -> Result<Result<(), sqlx::Error>, Error> {
    let mut connection = maintenance(options).await?;
    let done = connection.execute(AssertSqlSafe(sql)).await.map(|_| ());
    close(connection, options).await?;
    Ok(done)
}

/// Connects to the first maintenance database that lets us in.
async fn maintenance(options: &PgConnectOptions) -> Result<PgConnection, Error> {
    let mut refusals = Vec::new();
    for database in MAINTENANCE {
        let options = options.clone().database(database);
        let connected = timeout(CONNECT, PgConnection::connect_with(&options)).await;
        match connected.unwrap_or_else(|elapsed| Err(sqlx::Error::Io(elapsed.into()))) {
            Ok(connection) => return Ok(connection),
            Err(error) => refusals.push(refused(&options, error)),
        }
    }
    // The first refusal says most: the other database is a template.
    Err(refusals.swap_remove(0))
}

async fn close(connection: PgConnection, options: &PgConnectOptions) -> Result<(), Error> {
    connection.close().await.map_err(|error| refused(options, error))
}

fn refused(options: &PgConnectOptions, error: sqlx::Error) -> Error {
    let fault =
        if matches!(error, sqlx::Error::Io(_)) { Fault::Unreachable } else { fault(&error) };
    connect_error(fault, &address(options), query_error(error))
}

fn failed(verb: &str, options: &PgConnectOptions, error: sqlx::Error) -> Error {
    let operation = format!("{verb} the database {}", database(options));
    match fault(&error) {
        Fault::Denied => permission_denied(&operation, None, query_error(error)),
        _ => Error::cannot(&operation, None, query_error(error)),
    }
}
