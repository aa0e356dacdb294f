//! Several registries in one database, each with a row of its own.

use std::time::Duration;

use onerow::{ErrorKind, prelude::*};
use onerow_cli::next_step;
use onerow_testing::{Backend, TestDatabase, on_every_backend};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use crate::support::{Sql, number, only_on, registry, text};

fn app() -> Registry {
    registry([
        Sql::new(["CREATE TABLE todos (id INTEGER)"]),
        Sql::new(["CREATE TABLE tags (id INTEGER)"]),
    ])
}

fn library() -> Registry {
    registry([Sql::new(["CREATE TABLE sessions (id INTEGER)"])]).with_table("session_migration")
}

/// Says that it has begun, and goes on when it is told to.
struct Held {
    mode: Mode,
    begun: &'static Notify,
    go_on: &'static Notify,
}

#[async_trait]
impl MigrationTrait for Held {
    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        self.begun.notify_one();
        let go_on = self.go_on.notified();
        tokio::pin!(go_on);
        // A statement is in flight at almost any time, as when an index is built.
        while timeout(Duration::ZERO, &mut go_on).await.is_err() {
            match db.get_database_backend() {
                DatabaseBackend::Postgres => {
                    db.execute_unprepared("SELECT pg_sleep(0.2)").await.map(drop)?;
                }
                _ => sleep(Duration::from_millis(200)).await,
            }
        }
        Ok(())
    }

    fn mode(&self) -> Mode {
        self.mode
    }
}

fn held(mode: Mode) -> (Registry, &'static Notify, &'static Notify) {
    let (begun, go_on): (&Notify, &Notify) = (Box::leak(Box::default()), Box::leak(Box::default()));
    (Registry::new(vec![Box::new(Held { mode, begun, go_on })]), begun, go_on)
}

/// Brings one registry up to date while a migration of the other is running.
async fn one_goes_on_while_the_other_is_held(db: &TestDatabase, mode: Mode, quick: Registry) {
    let (slow, begun, go_on) = held(mode);
    let slow = slow.with_table("slow_migration");
    let one = db.connect().await;
    let other = async {
        begun.notified().await;
        let report = timeout(Duration::from_secs(30), quick.up(db)).await;
        go_on.notify_one();
        report.expect("it waits for the other registry").unwrap()
    };
    let (held, report) = tokio::join!(slow.up(&one).into_future(), other);
    assert_eq!((held.unwrap().applied.len(), report.applied.len()), (1, 1));
}

on_every_backend! {
    async fn each_has_its_own_version(db: TestDatabase) {
        library().up(&db).await.unwrap();
        let report = app().up(&db).await.unwrap();

        assert_eq!((report.initial, report.version), (-1, 1));
        assert_eq!(library().status(&db).await.unwrap().version, 0);
        assert_eq!(number(&*db, "SELECT version FROM session_migration").await, 0);
        assert_eq!(number(&*db, "SELECT version FROM schema_migration").await, 1);
    }

    async fn a_migration_outside_a_transaction_holds_up_none_of_another_registry(backend: Backend) {
        let outside = registry([Sql::new(["VACUUM"]).outside_transaction()]);
        one_goes_on_while_the_other_is_held(
            &backend.empty_database().await,
            Mode::Outside,
            outside,
        )
        .await;
        let inside = registry([Sql::new(["CREATE TABLE todos (id INTEGER)"])]);
        one_goes_on_while_the_other_is_held(&backend.empty_database().await, Mode::Outside, inside)
            .await;
    }

    async fn a_table_may_have_any_name(db: TestDatabase) {
        for name in ["order", "Ünïcode und \"Zeichen\"; --", "x\\y'z"] {
            let named = || {
                registry([Sql::new(["SELECT 1"]), Sql::new(["VACUUM"]).outside_transaction()])
                    .with_table(name)
            };
            assert_eq!(named().up(&db).await.unwrap().applied.len(), 2, "{name}");
            assert_eq!(named().up(&db).await.unwrap().applied.len(), 0, "{name}");
        }
    }

    async fn a_name_that_could_be_another_ones_is_refused_and_nothing_is_changed(db: TestDatabase) {
        for name in [String::new(), "x".repeat(64), "a\0b".into()] {
            let error = app().with_table(name).up(&db).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidTable, "{error:?}");
        }
        assert!(!db.schema().has_table("todos").await.unwrap());
    }

    async fn messages_name_the_table(db: TestDatabase) {
        library().up(&db).await.unwrap();
        db.sql("UPDATE session_migration SET version = -7").await;
        let error = library().up(&db).await.unwrap_err();
        assert!(error.to_string().starts_with("session_migration holds -7"), "{error}");
        assert!(next_step(&error).contains("session_migration"), "{}", next_step(&error));
    }

    async fn the_kit_leaves_the_tables_of_all_registries_out(db: TestDatabase) {
        library().up(&db).await.unwrap();
        app().up(&db).await.unwrap();
        let tables: Vec<_> =
            db.read_schema().await.tables().map(|table| table.name().to_owned()).collect();
        assert_eq!(tables, ["sessions", "tags", "todos"]);
    }
}

#[tokio::test]
async fn on_postgres_a_transaction_holds_up_none_of_another_registry() {
    if !Backend::Postgres.is_wanted() {
        return;
    }
    let quick = registry([Sql::new(["CREATE TABLE todos (id INTEGER)"])]);
    one_goes_on_while_the_other_is_held(
        &Backend::Postgres.empty_database().await,
        Mode::Transaction,
        quick,
    )
    .await;
}

#[tokio::test]
async fn on_postgres_the_table_may_have_a_schema_which_is_made() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    let library = || library().in_schema("Sess\"ions");

    library().up(&db).await.unwrap();
    assert_eq!(library().up(&db).await.unwrap().initial, 0);

    let schema = "SELECT schemaname::text FROM pg_tables WHERE tablename = 'session_migration'";
    assert_eq!(text(&*db, schema).await, "Sess\"ions");
}

#[tokio::test]
async fn on_sqlite_the_schema_is_a_part_of_the_name() {
    let db = Backend::Sqlite.empty_database().await;
    for schema in ["a", "b"] {
        let table =
            registry([Sql::new([]).statement(format!("CREATE TABLE {schema} (id INTEGER)"))]);
        assert_eq!(table.in_schema(schema).up(&db).await.unwrap().initial, -1, "{schema}");
    }
    assert_eq!(number(&*db, "SELECT version FROM \"a.schema_migration\"").await, 0);
}

mod behind_a_base {
    use super::*;

    mod m0002 {
        use super::*;

        pub struct Migration;

        #[async_trait]
        impl MigrationTrait for Migration {
            async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
                db.execute_unprepared("CREATE TABLE notes (id INTEGER)").await.map(drop)
            }
        }
    }

    on_every_backend! {
        async fn modules_go_on_with_the_next_number(db: TestDatabase) {
            let registry = onerow::registry![..app(), m0002];
            assert_eq!(registry.up(&db).await.unwrap().version, 2);
            assert_eq!(onerow::registry![..app()].latest(), 1);
        }

        async fn a_base_of_another_length_is_refused_and_nothing_is_changed(db: TestDatabase) {
            let error = onerow::registry![..library(), m0002].up(&db).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Misnumbered, "{error:?}");
            assert_eq!(
                error.to_string(),
                "the registry continues with m0002, but m0001 comes next; nothing was changed"
            );
            assert!(!db.schema().has_table("sessions").await.unwrap());
        }

        async fn the_table_of_the_base_stays_its_own(db: TestDatabase) {
            let registry = onerow::registry![..app().with_table("todo_migration"), m0002];
            registry.up(&db).await.unwrap();
            assert_eq!(number(&*db, "SELECT version FROM todo_migration").await, 2);
        }
    }
}
