//! Bad states: each has a clear error of its own, and nothing is changed.

use std::{
    fmt::Write,
    sync::{Arc, Mutex, OnceLock},
    time::Instant,
};

use onerow::{Error, ErrorKind, prelude::*};
use onerow_cli::next_step;
use onerow_testing::{Backend, PostgresServer, TestDatabase, on_every_backend};

use crate::support::{has_table, logged, number, only_on, server_with};

const PASSWORD: &str = "s3cret-pass";

/// A server of our own, so that we may create roles. Its supervisor ends it with this process.
fn server() -> Option<&'static PostgresServer> {
    static SERVER: OnceLock<Option<PostgresServer>> = OnceLock::new();
    let settings = &[("wal_level", "replica"), ("max_wal_senders", "4")];
    SERVER.get_or_init(|| server_with(settings)).as_ref()
}

async fn connecting(url: &str) -> Error {
    let error = Database::connect(url).await.expect_err(url);
    let text = format!("{} {error:?}", error.explain());
    assert!(!text.contains(PASSWORD), "{text}");
    error
}

#[tokio::test]
async fn a_url_that_does_not_parse() {
    for url in
        ["", "nonsense", &format!("postgres://u:{PASSWORD}@host:port/x"), "sqlite://x?mode=no"]
    {
        let error = connecting(url).await;
        assert_eq!(error.kind(), ErrorKind::InvalidUrl, "{url}: {error:?}");
    }
}

#[tokio::test]
async fn an_unknown_scheme() {
    let error = connecting(&format!("oracle://u:{PASSWORD}@host/x")).await;
    assert_eq!(error.kind(), ErrorKind::UnknownScheme, "{error:?}");
    assert_eq!(error.to_string(), "unknown database scheme \"oracle\"");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error_within_seconds() {
    let started = Instant::now();
    let error = connecting(&format!("postgres://u:{PASSWORD}@127.0.0.1:1/x")).await;
    assert_eq!(error.kind(), ErrorKind::ServerUnreachable, "{error:?}");
    assert_eq!(error.to_string(), "no server answers at 127.0.0.1:1/x");
    // This is not a measurement: sqlx alone would try for thirty seconds, then say "pool timed
    // out".
    assert!(started.elapsed().as_secs() < 20);

    let error = connecting("postgres://u@no-such-host.invalid/x").await;
    assert_eq!(error.kind(), ErrorKind::ServerUnreachable, "{error:?}");
}

#[tokio::test]
async fn a_wrong_password() {
    let Some(server) = server() else { return };
    let url = format!("postgres://postgres:{PASSWORD}@127.0.0.1:{}/postgres", server.port());
    let error = connecting(&url).await;
    assert_eq!(error.kind(), ErrorKind::AuthenticationFailed, "{error:?}");
}

#[tokio::test]
async fn no_such_database() {
    if let Some(server) = server() {
        let error = connecting(&server.url("nowhere")).await;
        assert_eq!(error.kind(), ErrorKind::NoSuchDatabase, "{error:?}");
        assert!(error.to_string().ends_with("/nowhere"), "{error}");
    }
    let error = connecting("sqlite:///nowhere/at/all.sqlite").await;
    assert_eq!(error.kind(), ErrorKind::NoSuchDatabase, "{error:?}");
    let text = error.explain().to_string();
    assert!(text.contains("there is no folder /nowhere/at"), "{text}");
    assert!(next_step(&error).contains("create it: "), "{}", next_step(&error));
}

on_every_backend! {
    async fn a_database_ahead_of_this_build(db: TestDatabase) {
        logged(3).up(&db).await.unwrap();
        let error = logged(2).up(&db).await.unwrap_err();
        assert_eq!((error.kind(), error.version()), (ErrorKind::Ahead, Some(2)), "{error:?}");
        assert_eq!(
            error.to_string(),
            "the database is at version 2, ahead of this build, whose last migration is 1; \
             nothing was changed"
        );
    }

    async fn a_version_that_no_registry_can_have(db: TestDatabase) {
        logged(1).up(&db).await.unwrap();
        db.execute_unprepared("UPDATE schema_migration SET version = -2").await.unwrap();
        for error in
            [logged(2).up(&db).await.unwrap_err(), logged(2).status(&db).await.unwrap_err()]
        {
            assert_eq!(error.kind(), ErrorKind::InvalidVersion, "{error:?}");
            assert!(error.to_string().contains(" holds -2,"), "{error}");
        }
        assert!(!has_table(&db, "t1").await);
    }

    async fn a_table_of_that_name_that_is_somebody_elses(db: TestDatabase) {
        db.execute_unprepared("CREATE TABLE schema_migration (name TEXT)").await.unwrap();
        let error = logged(1).up(&db).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ForeignTable, "{error:?}");
        assert_eq!(number(&*db, "SELECT count(*) FROM schema_migration").await, 0);
    }

    async fn several_rows(db: TestDatabase) {
        db.execute_unprepared("CREATE TABLE schema_migration (version INTEGER)").await.unwrap();
        db.execute_unprepared("INSERT INTO schema_migration VALUES (0), (1)").await.unwrap();
        let error = logged(2).up(&db).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SeveralRows, "{error:?}");
        assert!(error.to_string().contains(" holds 2 rows "), "{error}");
    }

    async fn a_row_without_a_version(db: TestDatabase) {
        db.execute_unprepared("CREATE TABLE schema_migration (version TEXT)").await.unwrap();
        db.execute_unprepared("INSERT INTO schema_migration VALUES ('three')").await.unwrap();
        let error = logged(2).up(&db).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidVersion, "{error:?}");
        assert!(error.to_string().contains(" holds three,"), "{error}");
    }
}

#[tokio::test]
async fn a_read_only_file() {
    let Some(db) = only_on(Backend::Sqlite).await else { return };
    let url = db.url().split('?').next().unwrap().to_owned();
    let read_only = Database::connect(format!("{url}?mode=ro")).await.unwrap();
    let error = logged(1).up(&read_only).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error:?}");

    logged(1).up(&db).await.unwrap();
    assert_eq!(
        logged(1).up(&read_only).await.unwrap().version,
        0,
        "nothing to do needs no right to write"
    );
    let error = logged(2).up(&read_only).await.unwrap_err();
    assert_eq!((error.kind(), error.version()), (ErrorKind::ReadOnly, Some(0)), "{error:?}");
    assert!(!has_table(&db, "t1").await);
}

#[tokio::test]
async fn a_read_only_standby() {
    let Some(server) = server() else { return };
    let primary = Database::connect(server.url("postgres")).await.unwrap();
    primary.execute_unprepared("CREATE DATABASE replicated").await.unwrap();
    let db = Database::connect(server.url("replicated")).await.unwrap();
    logged(1).up(&db).await.unwrap();
    let standby = server.base_backup_standby().unwrap();

    let replica = Database::connect(standby.url("replicated")).await.unwrap();
    assert_eq!(
        logged(1).up(&replica).await.unwrap().version,
        0,
        "nothing to do needs no right to write"
    );
    let error = logged(2).up(&replica).await.unwrap_err();
    assert_eq!((error.kind(), error.version()), (ErrorKind::ReadOnly, Some(0)), "{error:?}");

    let empty = Database::connect(standby.url("template1")).await.unwrap();
    let error = logged(1).up(&empty).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error:?}");
}

#[tokio::test]
async fn no_right_to_create_the_table_or_to_move_the_version() {
    let Some(server) = server() else { return };
    let admin = Database::connect(server.url("postgres")).await.unwrap();
    let role = format!("CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'");
    admin.execute_unprepared(&role).await.unwrap();
    admin.execute_unprepared("CREATE DATABASE guarded").await.unwrap();
    let owner = Database::connect(server.url("guarded")).await.unwrap();
    owner.execute_unprepared("REVOKE CREATE ON SCHEMA public FROM public").await.unwrap();
    let url = format!("postgres://reader:{PASSWORD}@127.0.0.1:{}/guarded", server.port());
    let reader = Database::connect(url).await.unwrap();

    let error = logged(1).up(&reader).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:?}");
    assert!(!has_table(&owner, "schema_migration").await);

    logged(1).up(&owner).await.unwrap();
    owner.execute_unprepared("GRANT SELECT ON schema_migration TO reader").await.unwrap();
    assert_eq!(
        logged(1).up(&reader).await.unwrap().version,
        0,
        "nothing to do needs no more than to read"
    );
    let error = logged(2).up(&reader).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.version()),
        (ErrorKind::PermissionDenied, Some(0)),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_search_path_whose_schema_is_not_there() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    let separator = if db.url().contains('?') { '&' } else { '?' };
    let url = format!("{}{separator}options=-c%20search_path%3Dapp,apart", db.url());
    let app = Database::connect(url).await.unwrap();

    let error = logged(2).up(&app).await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::NoSchema, "{error:?}");
    let text = error.explain().to_string();
    assert!(text.contains("app,apart") && text.contains("nothing was changed"), "{text}");
    let next_step = next_step(&error);
    assert!(next_step.contains("Registry::in_schema"), "{next_step}");
    assert!(next_step.contains("CREATE SCHEMA"), "{next_step}");
    let made = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE nspname IN ('app', 'apart') OR relname = 'schema_migration'";
    assert_eq!(number(&*db, made).await, 0);

    // These are the ways out that the error names.
    assert_eq!(logged(1).in_schema("app").up(&app).await.unwrap().version, 0);
    let there = "SELECT count(*) FROM pg_tables WHERE schemaname = 'app'";
    assert_eq!(number(&*db, there).await, 3);
    db.sql("DROP SCHEMA app CASCADE; CREATE SCHEMA apart").await;
    assert_eq!(logged(1).up(&app).await.unwrap().version, 0);
}

#[tokio::test]
async fn a_search_path_of_the_role_whose_schema_is_not_there() {
    let Some(server) = server() else { return };
    let admin = Database::connect(server.url("postgres")).await.unwrap();
    admin.execute_unprepared("CREATE DATABASE pathless").await.unwrap();
    let role = format!(
        "CREATE ROLE pathless LOGIN PASSWORD '{PASSWORD}'; ALTER ROLE pathless SET search_path = \
         gone"
    );
    admin.execute_unprepared(&role).await.unwrap();
    let url = format!("postgres://pathless:{PASSWORD}@127.0.0.1:{}/pathless", server.port());
    let app = Database::connect(url).await.unwrap();

    for error in
        [logged(1).up(&app).await.unwrap_err(), logged(1).baseline(&app, 0).await.unwrap_err()]
    {
        assert_eq!(error.kind(), ErrorKind::NoSchema, "{error:?}");
        assert!(error.to_string().contains("search path gone exists"), "{error}");
    }
}

/// If a character cuts the password, its pieces end up in host, port and database.
#[tokio::test]
async fn a_password_that_is_not_encoded() {
    for password in [
        "s3c/ret",
        "12/ret",
        "s3c?ret",
        "12?ret",
        "12#ret",
        "s3c@x/ret",
        "s3c@12:ret/x",
        "/ret",
        "12/@ret",
    ] {
        let url = format!("postgres://u:{password}@127.0.0.1:1/x");
        let error = Database::connect(&url).await.expect_err(&url);
        let text = format!("{} {error:?}\n{}", error.explain(), next_step(&error));
        assert_eq!(error.kind(), ErrorKind::InvalidUrl, "{url}: {text}");
        assert!(text.contains("percent-encoded"), "{url}: {text}");
        assert!(!["s3c", "ret", "12"].iter().any(|piece| text.contains(piece)), "{url}: {text}");
    }
}

/// These are not pieces of a password.
#[tokio::test]
async fn an_at_sign_in_a_parameter_or_before_the_last_one() {
    for url in [
        "postgres://127.0.0.1:1/x?user=u@tenant&password=p@ss",
        "postgres:///x?host=/nowhere@all&port=1",
        "postgres://u:p@ss@127.0.0.1:1/x",
        "postgres://u@tenant:p:ss%@127.0.0.1:1/x?options[search_path]=a@b",
        "postgresql://u:p%2Fss%23%3F%40@127.0.0.1:1",
    ] {
        let error = connecting(url).await;
        assert_eq!(error.kind(), ErrorKind::ServerUnreachable, "{url}: {error:?}");
    }
}

/// Keeps every span and event of any level as text.
#[derive(Clone, Default)]
struct Everything(Arc<Mutex<String>>);

impl Everything {
    fn note(&self, what: &dyn std::fmt::Debug) {
        writeln!(self.0.lock().unwrap(), "{what:?}").unwrap();
    }
}

impl tracing::Subscriber for Everything {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        self.note(attributes);
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, values: &tracing::span::Record<'_>) {
        self.note(values);
    }

    fn event(&self, event: &tracing::Event<'_>) {
        self.note(event);
    }

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

/// SeaORM's own connector would put its options, URL and all, into a span of the level `TRACE`.
#[tokio::test]
async fn no_password_reaches_the_log_at_any_level() {
    let Some(server) = server() else { return };
    let url = server.url("postgres");
    let password = url.split(['@', ':']).nth(2).unwrap();
    let log = Everything::default();
    let _guard = tracing::subscriber::set_default(log.clone());

    let db = Database::connect(url.as_str()).await.unwrap();
    number(&db, "SELECT 1").await;
    db.disconnect().await.unwrap();

    let text = log.0.lock().unwrap();
    assert!(text.contains("SELECT 1"), "nothing was logged");
    assert!(!text.contains(password), "{text}");
}
