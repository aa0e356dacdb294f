//! Folders of `.sql` files that were written for another tool.

use onerow::{SqlMigration, prelude::*};
use onerow_testing::{TestDatabase, on_every_backend};

use crate::support::{number, text};

/// Applies the migrations, and returns their descriptions.
async fn applied(registry: &Registry, db: &TestDatabase) -> Vec<String> {
    registry.up(db).await.unwrap();
    let status = registry.status(db).await.unwrap();
    assert!(!status.is_pending());
    status.migrations.into_iter().map(|migration| migration.description).collect()
}

fn sqlx() -> Registry {
    onerow::embed_migrations!("tests/embedded/sqlx")
}

on_every_backend! {
    async fn a_folder_of_sqlx_is_applied(db: TestDatabase) {
        let applied = applied(&sqlx(), &db).await;
        assert_eq!(applied, ["create members", "byte order mark", "admins", "vacuum", "empty"]);
        assert_eq!(number(&*db, "SELECT count(*) FROM members").await, 2);
        assert_eq!(number(&*db, "SELECT id FROM members WHERE admin = 1").await, 2);
    }

    async fn a_folder_of_refinery_is_applied(db: TestDatabase) {
        let applied = applied(&onerow::embed_migrations!("tests/embedded/refinery"), &db).await;
        assert_eq!(applied, ["create members", "first member", "new domain"]);
        assert_eq!(text(&*db, "SELECT email FROM members").await, "ada@example.com");
    }

    async fn a_folder_of_diesel_is_applied(db: TestDatabase) {
        let applied = applied(&onerow::embed_migrations!("tests/embedded/diesel"), &db).await;
        assert_eq!(applied, ["create members", "vacuum", "first member"]);
        assert_eq!(number(&*db, "SELECT count(*) FROM members").await, 1);
    }

    async fn an_error_in_a_file_names_it_as_the_folder_is_named(db: TestDatabase) {
        db.execute_unprepared("CREATE TABLE members (id INTEGER)").await.unwrap();
        let error = sqlx().up(&db).await.unwrap_err();
        let text = error.explain().to_string();
        assert!(text.contains("\n    in tests/embedded/sqlx/1_create_members.sql"), "{text}");
    }

    async fn what_is_left_out_of_a_folder_is_not_applied(db: TestDatabase) {
        let registry = onerow::embed_migrations!(
            "tests/embedded/refinery",
            except = ["later", "V9__first_member.sql",],
        );
        assert_eq!(applied(&registry, &db).await, ["create members"]);
    }

    async fn a_script_of_several_statements_is_applied_whole_or_not_at_all(db: TestDatabase) {
        let sql = "CREATE TABLE half (id INTEGER); INSERT INTO nowhere VALUES (1)";
        let broken = SqlMigration::new("1_broken", "broken", sql, Mode::Transaction);
        let error = Registry::new(vec![Box::new(broken)]).up(&db).await.unwrap_err();
        assert!(error.to_string().contains("was rolled back"), "{error}");
        assert!(!db.schema().has_table("half").await.unwrap());
    }
}

#[test]
fn a_script_keeps_the_name_it_has_elsewhere() {
    assert_eq!(SqlMigration::new("V1__a", "a", "", Mode::Transaction).replaces(), ["V1__a"]);
}
