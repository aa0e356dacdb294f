//! A run of everything that onerow does on PostgreSQL.

use std::{env, process::Command, time::Duration};

use onerow::{ErrorKind, SqlMigration, Tool, prelude::*};
use onerow_testing::{Backend, TestDatabase};
use tokio::time::sleep;

use crate::log::NOT_ONEROWS;

struct Sql {
    sql: &'static str,
    mode: Mode,
}

#[async_trait]
impl MigrationTrait for Sql {
    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        db.execute_unprepared(&format!("{} {NOT_ONEROWS}", self.sql)).await.map(drop)
    }

    fn mode(&self) -> Mode {
        self.mode
    }
}

/// An index that an earlier build has left invalid, and one that exists already.
struct Index;

#[async_trait]
impl MigrationTrait for Index {
    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        let unique = "CREATE UNIQUE INDEX CONCURRENTLY items_task ON items (task)";
        db.execute_unprepared(&format!("{unique} {NOT_ONEROWS}"))
            .await
            .expect_err("the tasks are not unique");
        for _ in 0..2 {
            create_index(db, "items_task", "items", "task").await?;
        }
        Ok(())
    }

    fn mode(&self) -> Mode {
        Mode::Outside
    }
}

fn inside(sql: &'static str) -> Box<dyn MigrationTrait> {
    Box::new(Sql { sql, mode: Mode::Transaction })
}

fn outside(sql: &'static str) -> Box<dyn MigrationTrait> {
    Box::new(Sql { sql, mode: Mode::Outside })
}

const ITEMS: &str = "CREATE TABLE items (id serial PRIMARY KEY, task text); \
    INSERT INTO items (task) VALUES ('a'), ('a')";

pub fn registry() -> Registry {
    let more = inside("CREATE TABLE more (id bigint PRIMARY KEY)");
    Registry::new(vec![
        inside(ITEMS),
        more,
        Box::new(Index),
        outside("VACUUM items"),
        inside(EVERY_KIND),
    ])
}

/// One object of every kind, for the reader of schemas.
const EVERY_KIND: &str = "
    CREATE TABLE parts (id int NOT NULL, at date, CHECK (id IS NOT NULL)) PARTITION BY RANGE (at);
    CREATE TABLE part PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    CREATE TABLE child (item int REFERENCES items, UNIQUE (item)) INHERITS (more);
    CREATE INDEX child_item ON child (item);
    CREATE VIEW items_seen AS SELECT task FROM items;
    CREATE TYPE mood AS ENUM ('good', 'bad');
    CREATE DOMAIN email AS text CHECK (VALUE IS NOT NULL);
    CREATE SEQUENCE numbers;
    CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
    CREATE TRIGGER quiet AFTER INSERT ON items FOR EACH ROW EXECUTE FUNCTION nothing();
    CREATE AGGREGATE total (int) (sfunc = pg_catalog.int4pl, stype = int)";

mod item {
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "items")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        #[sea_orm(column_type = "Text", nullable)]
        pub task: Option<String>,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

pub async fn run() {
    a_run_from_nothing().await;
    runners_in_each_others_way().await;
    stopped().await;
    a_killed_runner().await;
    a_schema_of_its_own().await;
    each_tool().await;
    the_test_kit().await;
    the_command_line();
}

async fn database() -> TestDatabase {
    Backend::Postgres.empty_database().await
}

async fn a_run_from_nothing() {
    let db = database().await;
    assert_eq!(registry().up(&db).await.unwrap().version, 4);
    assert_eq!(registry().up(&db).await.unwrap().applied.len(), 0);
    assert!(!registry().status(&db).await.unwrap().is_pending());
    let broken = Registry::new(vec![inside(ITEMS), inside("SELECT nothing")]);
    let db = database().await;
    broken.up(&db).await.unwrap_err();
}

/// One runner waits for a lock, another waits for the first, and each says whom it waits for.
async fn runners_in_each_others_way() {
    let db = database().await;
    Registry::new(vec![inside(ITEMS)]).up(&db).await.unwrap();
    let column = "ALTER TABLE items ADD COLUMN due date";
    in_the_way(&db, Registry::new(vec![inside(ITEMS), inside(column)])).await;
    let index = outside("CREATE INDEX CONCURRENTLY ON items (id)");
    in_the_way(&db, Registry::new(vec![inside(ITEMS), inside(column), index])).await;
}

async fn in_the_way(db: &TestDatabase, registry: Registry) {
    let writer = db.connect().await.begin().await.unwrap();
    writer
        .execute_unprepared(&format!("INSERT INTO items (task) VALUES ('b') {NOT_ONEROWS}"))
        .await
        .unwrap();
    let (db, other): (&Database, _) = (db, db.connect().await);
    let run = |db| registry.up(db).lock_timeout(Duration::from_secs(1)).into_future();
    let (first, second, ()) = tokio::join!(run(db), run(&other), async {
        sleep(Duration::from_millis(2500)).await;
        writer.commit().await.unwrap();
    });
    assert_eq!(first.unwrap().version, second.unwrap().version);
}

async fn stopped() {
    let db = database().await;
    for sleeps in [inside("SELECT pg_sleep(30)"), outside("SELECT pg_sleep(30)")] {
        let registry = Registry::new(vec![sleeps]);
        let stopped = registry.up(&db).cancel_on(sleep(Duration::from_millis(1500))).await;
        assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Cancelled);
    }
}

/// Its session is still there when the next runner comes.
async fn a_killed_runner() {
    let db = database().await;
    let named = format!("{}?application_name=onerow%20m0000%2012345678", db.url());
    let orphan = Database::connect(named).await.unwrap();
    let sleeps = format!("SELECT pg_sleep(1) {NOT_ONEROWS}");
    let registry = Registry::new(vec![outside("VACUUM")]);
    let lives_on = async {
        orphan.execute_unprepared(&sleeps).await.unwrap();
        orphan.disconnect().await.unwrap();
    };
    let ((), run) = tokio::join!(lives_on, async {
        sleep(Duration::from_millis(100)).await;
        registry.up(&db).await
    });
    assert_eq!(run.unwrap().version, 0);
}

async fn a_schema_of_its_own() {
    let db = database().await;
    let registry = registry().in_schema("apart").with_table("of_its_own");
    registry.baseline(&db, 0).dry_run().await.unwrap();
    registry.baseline(&db, 4).await.unwrap();
    assert_eq!(registry.status(&db).await.unwrap().version, 4);
    let other = Registry::new(vec![inside(ITEMS)]).in_schema("apart_too");
    assert_eq!(other.up(&db).await.unwrap().version, 0);
}

/// The columns of each tool's table, and the name of its first migration.
const TOOLS: [(Tool, &str, &str); 5] = [
    (Tool::SeaOrmMigration, "m1_a", "CREATE TABLE seaql_migrations (version varchar PRIMARY KEY, applied_at bigint);
        INSERT INTO seaql_migrations VALUES ('m1_a', 1); CREATE TABLE a (id serial PRIMARY KEY)"),
    (Tool::Sqlx, "1_a", "CREATE TABLE _sqlx_migrations (version bigint PRIMARY KEY, description text, installed_on timestamptz,
        success boolean, checksum bytea); INSERT INTO _sqlx_migrations VALUES (1, 'a', '2026-01-01', true, '')"),
    (Tool::Refinery, "V1__a", "CREATE TABLE refinery_schema_history (version int PRIMARY KEY, name varchar(255), applied_on varchar(255),
        checksum varchar(255)); INSERT INTO refinery_schema_history VALUES (1, 'a', '2026-01-01T00:00:00Z', '1')"),
    (Tool::Diesel, "1_a", "CREATE TABLE __diesel_schema_migrations (version varchar(50) PRIMARY KEY, run_on timestamp);
        INSERT INTO __diesel_schema_migrations VALUES ('1', '2026-01-01')"),
    (Tool::QuartDb, "0", "CREATE TABLE history (version int); INSERT INTO history VALUES (0)"),
];

async fn each_tool() {
    for (tool, name, tables) in TOOLS {
        let db = database().await;
        db.sql(&format!("{tables} {NOT_ONEROWS}")).await;
        let script = Box::new(SqlMigration::new(name, "a", "SELECT 1", Mode::Transaction));
        let mut registry = Registry::new(vec![script]);
        if tool == Tool::QuartDb {
            registry = registry.adopting_from(tool, "history");
        }
        assert_eq!(registry.up(&db).await.unwrap_err().kind(), ErrorKind::Unadopted);
        assert_eq!(registry.baseline(&db, 0).await.unwrap_err().kind(), ErrorKind::BesideHistory);
        registry.adopt(&db).from(tool).dry_run().await.unwrap();
        assert_eq!(registry.adopt(&db).await.unwrap().version, 0);
    }
}

async fn the_test_kit() {
    let db = Backend::Postgres.database(registry()).await;
    let schema = db.read_schema().await.to_string();
    for kind in [
        "aggregate total",
        "domain email",
        "enum mood",
        "function nothing",
        "sequence numbers",
        "view items_seen",
    ] {
        assert!(schema.contains(kind), "{schema}");
    }
    db.assert_matches_entity(item::Entity).await;
    let db = Backend::Postgres.database_before(registry(), 1).await;
    db.apply(1).keeping_every_row().await.unwrap();
}

fn the_command_line() {
    let server = env::var("TEST_POSTGRES_URL").unwrap();
    let (server, _) = server.rsplit_once('/').unwrap();
    for command in [
        "wait",
        "create",
        "create",
        "up",
        "status",
        "check",
        "version",
        "reset --yes",
        "drop --yes",
        "drop --yes",
    ] {
        let run = Command::new(env::current_exe().unwrap())
            .args(command.split(' '))
            .env("OWN_SQL_COMMAND", "1")
            .env("DATABASE_URL", format!("{server}/by_command"))
            .output()
            .unwrap();
        assert!(run.status.success(), "{command}: {}", String::from_utf8_lossy(&run.stderr));
    }
}
