//! Every tool comes to the same schema.

use adopt_tests::{MIGRATIONS, Tool, schema};
use onerow_testing::{Backend, Table, on_every_backend};

use crate::support::{contents, expected, migrated};

on_every_backend! {
    async fn the_migrations_make_the_schema_that_is_in_the_repository(backend: Backend) {
        let db = migrated(backend, Tool::Sqlx, MIGRATIONS).await;
        expected("schema", backend).assert_eq(&format!("{}\n", schema(&db).await));
    }

    async fn every_tool_makes_the_same_schema_and_rows(backend: Backend) {
        let expected = migrated(backend, Tool::Sqlx, MIGRATIONS).await;
        for tool in Tool::wanted() {
            let db = migrated(backend, tool, MIGRATIONS).await;
            schema(&expected).await.assert_same_as(&schema(&db).await);
            assert_eq!(contents(&expected).await, contents(&db).await, "{tool:?}");
        }
    }

    async fn every_tool_stops_where_it_is_told_to_and_goes_on_from_there(backend: Backend) {
        let expected = migrated(backend, Tool::Sqlx, 3).await;
        for tool in Tool::wanted() {
            let db = migrated(backend, tool, 1).await;
            tool.migrate(db.url(), 3).await;
            schema(&expected).await.assert_same_as(&schema(&db).await);
            assert_eq!(contents(&expected).await, contents(&db).await, "{tool:?}");
        }
    }

    async fn no_table_that_a_tool_keeps_for_itself_is_in_the_schema(backend: Backend) {
        let db = backend.empty_database().await;
        for tool in Tool::RUST {
            tool.migrate(db.url(), 0).await;
        }
        db.sql("CREATE TABLE _sqlx_migrations_of_ours (id INTEGER)").await;
        let schema = schema(&db).await;
        assert_eq!(
            schema.tables().map(Table::name).collect::<Vec<_>>(),
            ["_sqlx_migrations_of_ours"]
        );
    }

    async fn the_third_migration_changes_data(backend: Backend) {
        let db = migrated(backend, Tool::Sqlx, 2).await;
        let emails = "SELECT email FROM members ORDER BY id";
        assert_eq!(db.rows(emails).await, ["Ada@Example.org", "grace@example.org"]);
        Tool::Sqlx.migrate(db.url(), 3).await;
        assert_eq!(db.rows(emails).await, ["ada@example.org", "grace@example.org"]);
    }
}
