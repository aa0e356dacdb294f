//! One migration at a time.

use onerow::{Failure, prelude::*};
use onerow_testing::{ApplyError, Backend, on_every_backend};

mod m0000 {
    use onerow::prelude::*;

    pub struct Migration;

    #[async_trait]
    impl MigrationTrait for Migration {
        async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
            db.execute_unprepared(
                "CREATE TABLE members (id INTEGER PRIMARY KEY, email TEXT NOT NULL)",
            )
            .await?;
            db.execute_unprepared("CREATE TABLE audit (id INTEGER PRIMARY KEY, what TEXT)")
                .await
                .map(drop)
        }
    }
}

/// It keeps all rows: it adds a column, and puts the addresses in lower case.
mod m0001 {
    use onerow::prelude::{schema::*, *};

    pub struct Migration;

    #[async_trait]
    impl MigrationTrait for Migration {
        async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
            db.schema()
                .alter_table(Table::alter().table("members").add_column(text_null("nick")).take())
                .await?;
            db.execute_unprepared("INSERT INTO audit (id, what) VALUES (100, 'lowered')").await?;
            db.execute_unprepared("UPDATE members SET email = lower(email)").await.map(drop)
        }
    }
}

/// It loses a member and a whole table.
mod m0002 {
    use onerow::prelude::*;

    pub struct Migration;

    #[async_trait]
    impl MigrationTrait for Migration {
        async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
            db.execute_unprepared("DELETE FROM members WHERE id > 1").await?;
            db.execute_unprepared("DROP TABLE audit").await.map(drop)
        }
    }
}

fn registry() -> Registry {
    onerow::registry![m0000, m0001, m0002]
}

/// How a migration sends its statements.
enum Way {
    Unprepared,
    Builder,
    Values,
    Schema,
}

struct Fails(Way);

#[async_trait]
impl MigrationTrait for Fails {
    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        db.execute_unprepared("CREATE TABLE fine (id INTEGER)").await?;
        let select =
            Query::select().column("id").from("nowhere").and_where(Expr::col("id").eq(42)).take();
        match self.0 {
            Way::Unprepared => db.execute_unprepared("DELETE FROM nowhere").await.map(drop),
            Way::Builder => db.query_one(&select).await.map(drop),
            Way::Values => db.query_all(&select).await.map(drop),
            Way::Schema => db.schema().drop_table(Table::drop().table("nowhere").take()).await,
        }
    }

    fn mode(&self) -> Mode {
        if matches!(self.0, Way::Values) { Mode::Outside } else { Mode::Transaction }
    }
}

struct GivesUp;

#[async_trait]
impl MigrationTrait for GivesUp {
    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        let _ = db.execute_unprepared("DROP TABLE nowhere").await;
        Err(DbErr::Migration("two members share an address".into()))
    }

    fn mode(&self) -> Mode {
        Mode::Outside
    }
}

on_every_backend! {
    async fn apply_applies_one_migration(backend: Backend) {
        let db = backend.database_before(registry(), 1).await;

        let report = db.apply(1).await.unwrap();

        assert_eq!((report.initial, report.version, report.applied.len()), (0, 1, 1));
        assert_eq!(db.rows("SELECT nick FROM members").await, [""; 0]);
        // The next migration drops it.
        assert!(db.schema().has_table("audit").await.unwrap());
    }

    async fn apply_refuses_a_database_at_another_version(backend: Backend) {
        let db = backend.database_at(registry(), 0).await;

        let error = db.apply(2).await.unwrap_err();

        assert_eq!(
            error.to_string(),
            "this applies migration 2 alone, on a database at version 1; it is at version 0"
        );
        assert_eq!(db.registry().status(&db).await.unwrap().version, 0);
    }

    async fn the_steps_add_up(backend: Backend) {
        let db = backend.database_at(registry(), -1).await;
        assert_eq!(db.apply_up_to(1).await.unwrap().version, 1);
        assert_eq!(db.apply_the_rest().await.unwrap().version, 2);
        assert_eq!(db.apply_the_rest().await.unwrap().applied.len(), 0);
    }

    async fn the_error_shows_the_migration_and_the_sql_that_failed(backend: Backend) {
        for (way, sql) in [
            (Way::Unprepared, "DELETE FROM nowhere"),
            (Way::Builder, r#"SELECT "id" FROM "nowhere" WHERE "id" = 42"#),
            (Way::Values, r#"SELECT "id" FROM "nowhere" WHERE "id" = 42"#),
            (Way::Schema, r#"DROP TABLE "nowhere""#),
        ] {
            let db = backend.database_at(Registry::new(vec![Box::new(Fails(way))]), -1).await;

            let error = db.apply(0).await.unwrap_err();

            let text = format!("{error:?}");
            assert!(text.starts_with("migration m0000 failed"), "{text}");
            assert!(
                text.contains("nowhere") && text.ends_with(&format!("\n  SQL: {sql}")),
                "{text}"
            );
            let ApplyError::Failed { error, .. } = error else { panic!("{text}") };
            assert!(matches!(error.failure(), Some(Failure::Migrate(_))), "{text}");
        }
    }

    /// This SQL did not fail the migration, which allowed it to fail.
    async fn sql_that_the_migration_did_not_mind_is_not_shown(backend: Backend) {
        let db = backend.database_at(Registry::new(vec![Box::new(GivesUp)]), -1).await;

        let text = db.apply(0).await.unwrap_err().to_string();

        assert!(text.ends_with("caused by: two members share an address"), "{text}");
    }

    async fn rows_that_a_migration_keeps_are_kept(backend: Backend) {
        let db = backend.database_before(registry(), 1).await;
        db.sql("INSERT INTO members VALUES (1, 'ada@example.org'), (2, 'grace@example.org')").await;
        db.sql("INSERT INTO audit VALUES (1, NULL)").await;

        db.apply(1).keeping_every_row().await.unwrap();

        assert_eq!(db.rows("SELECT count(*) FROM audit").await, ["2"]);
    }

    async fn a_row_that_a_migration_changes_is_shown(backend: Backend) {
        let db = backend.database_before(registry(), 1).await;
        db.sql("INSERT INTO members VALUES (1, 'Ada@example.org'), (2, 'grace@example.org')").await;

        let error = db.apply(1).keeping_every_row().await.unwrap_err();

        let expected = "the migration did not keep every row:\n\
                        table members\n\
                        - id: 1, email: Ada@example.org\n\
                        + id: 1, email: ada@example.org";
        assert_eq!(error.to_string(), expected);
    }

    async fn what_a_migration_is_there_to_change_can_be_left_out(backend: Backend) {
        let db = backend.database_before(registry(), 1).await;
        db.sql("INSERT INTO members VALUES (1, 'Ada@example.org')").await;

        db.apply(1).keeping_every_row().except("members.email").await.unwrap();
    }

    async fn rows_and_tables_that_a_migration_drops_are_shown(backend: Backend) {
        let db = backend.database_before(registry(), 2).await;
        db.sql(
            "INSERT INTO members VALUES (1, 'ada@example.org', NULL), (2, 'grace@example.org', \
            NULL)",
        )
        .await;

        let error = db.apply(2).keeping_every_row().except("members.email").await.unwrap_err();

        let expected = "the migration did not keep every row:\n\
                        table audit\n\
                        - id: 100, what: lowered\n\
                        table members\n\
                        - id: 2, nick: NULL";
        assert_eq!(error.to_string(), expected);
    }

    async fn a_table_that_was_empty_may_go(backend: Backend) {
        let db = backend.database_before(registry(), 2).await;
        db.sql("DELETE FROM audit").await;

        db.apply(2).keeping_every_row().await.unwrap();
    }
}
