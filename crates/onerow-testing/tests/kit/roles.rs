//! Objects of the whole server, which do not belong to a test's database.

use onerow::{SqlMigration, prelude::*};
use onerow_testing::Backend;

// docs/testing.md shows it.
const APP: &str = "
    DO $$ BEGIN
        CREATE ROLE onerow_docs_app NOLOGIN;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL; -- It is there, or another program makes it at this moment.
    END $$";

fn registry(sql: &'static str) -> Registry {
    Registry::new(vec![Box::new(SqlMigration::new("1_app", "app", sql, Mode::Transaction))])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_is_made_only_if_it_is_not_there_is_no_hindrance_to_other_programs() {
    if !Backend::Postgres.is_wanted() {
        return;
    }
    let mut databases = Vec::new();
    for _ in 0..8 {
        databases.push(Backend::Postgres.database_at(registry(APP), -1).await);
    }
    databases[0].sql("DROP ROLE IF EXISTS onerow_docs_app").await;

    let programs =
        databases.into_iter().map(|db| tokio::spawn(async move { db.apply(0).await.map(drop) }));

    for program in programs.collect::<Vec<_>>() {
        program.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_role_that_is_there_already_is_told_to_be_the_whole_servers() {
    if !Backend::Postgres.is_wanted() {
        return;
    }
    // Each server has this role.
    let db = Backend::Postgres.database_at(registry("CREATE ROLE postgres"), -1).await;
    let text = db.apply(0).await.unwrap_err().to_string();
    assert!(
        text.contains("already exists") && text.contains("roles belong to the whole server"),
        "{text}"
    );
    assert!(text.contains("\"Roles\" in docs/testing.md"), "{text}");
}
