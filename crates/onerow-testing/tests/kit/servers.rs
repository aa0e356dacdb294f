//! The server that `TEST_POSTGRES_URL` names.

use onerow_testing::{Backend, PostgresServer};
use sea_orm::{ConnectionTrait, DatabaseBackend, Statement};

use crate::programs::Program;

/// A server, and the URL of its superuser without a database.
fn server() -> (PostgresServer, String) {
    let server = PostgresServer::start().unwrap();
    let url = server.url("");
    (server, url)
}

#[test]
fn a_server_that_cannot_be_used_is_told_with_the_reason_and_no_password() {
    if !Backend::Postgres.is_wanted() {
        return;
    }
    let (server, _) = server();
    let program = Program::copy();
    let port = server.port();
    for (url, reason) in [
        (
            "postgres://tozo:hunter2@127.0.0.1:1/postgres".to_owned(),
            "no server answers at 127.0.0.1:1/postgres",
        ),
        (
            format!("postgres://postgres:hunter2@127.0.0.1:{port}/postgres"),
            "rejected the user name or password",
        ),
        ("mysql://tozo:hunter2@127.0.0.1/test".to_owned(), "does not begin with postgres://"),
        ("127.0.0.1".to_owned(), "TEST_POSTGRES_URL does not parse"),
    ] {
        let complaint = program.complains_of_server(&url);
        assert!(
            complaint.contains("no PostgreSQL server to test on") && complaint.contains(reason),
            "{complaint}"
        );
        assert!(
            complaint.contains("to leave PostgreSQL out: ONEROW_TEST_BACKENDS=sqlite"),
            "{complaint}"
        );
        assert!(!complaint.contains("hunter2"), "{complaint}");
    }
}

/// In sqlx the parameter wins over the path, so tests would write to the database that it names.
#[tokio::test]
async fn a_database_that_a_parameter_names_is_left_alone() {
    if !Backend::Postgres.is_wanted() {
        return;
    }
    let (_server, url) = server();
    let program = Program::copy();
    let mut process = program.start_on(&format!("{url}?dbname=postgres"), 0);
    let (_, made) = process.answer();
    process.end();

    assert!(made.contains("/onerow_test_") && !made.contains("dbname"), "{made}");
    let db = onerow::Database::connect(format!("{url}postgres")).await.unwrap();
    assert!(!db.schema().has_table("t0").await.unwrap());
    db.disconnect().await.unwrap();
}

#[tokio::test]
async fn the_templates_of_an_earlier_build_are_removed() {
    if !Backend::Postgres.is_wanted() {
        return;
    }
    let (_server, url) = server();
    let url = format!("{url}postgres");
    let program = Program::copy();
    let db = onerow::Database::connect(url.as_str()).await.unwrap();
    let mut of_before = Vec::new();
    for _ in 0..3 {
        program.start_on(&url, 2).end();

        let templates = databases(&db, "onerow_template_").await;
        assert_eq!(templates.len(), 1, "{templates:?}");
        assert!(!of_before.contains(&templates[0]), "{templates:?}");
        of_before.extend(templates);
        assert!(databases(&db, "onerow_test_").await.is_empty());
        program.rebuild();
    }
    db.disconnect().await.unwrap();
}

/// The server's databases whose names begin like this.
async fn databases(db: &onerow::Database, prefix: &str) -> Vec<String> {
    let sql =
        format!("SELECT datname::text FROM pg_database WHERE starts_with(datname, '{prefix}')");
    let rows =
        db.query_all_raw(Statement::from_string(DatabaseBackend::Postgres, sql)).await.unwrap();
    rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
}
