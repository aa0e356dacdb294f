//! Indexes that are built beside the traffic.

use onerow::{Failure, prelude::*};
use onerow_testing::{Backend, TestDatabase, on_every_backend};

use crate::support::{Sql, assert_failed, major, number, only_on, text, version};

/// Creates an index on `items`, by this function.
struct Index(Mode, fn(&Database) -> onerow::CreateIndex<'_>);

#[async_trait]
impl MigrationTrait for Index {
    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        self.1(db).await
    }

    fn mode(&self) -> Mode {
        self.0
    }
}

fn on_task(db: &Database) -> onerow::CreateIndex<'_> {
    create_index(db, "items_task", "items", "task")
}

/// Creates a table with a row, then the index.
fn indexed(index: fn(&Database) -> onerow::CreateIndex<'_>) -> Registry {
    let items = "CREATE TABLE items (id INTEGER PRIMARY KEY, task TEXT, deleted INTEGER)";
    let items = Sql::new([items, "INSERT INTO items VALUES (1, 'a', NULL)"]);
    Registry::new(vec![Box::new(items), Box::new(Index(Mode::Outside, index))])
}

async fn insert(db: &Database, row: &str) -> Result<(), DbErr> {
    db.execute_unprepared(&format!("INSERT INTO items VALUES ({row})")).await.map(drop)
}

on_every_backend! {
    async fn a_plain_index_takes_a_value_twice(db: TestDatabase) {
        indexed(on_task).up(&db).await.unwrap();
        insert(&db, "2, 'a', NULL").await.unwrap();
    }

    async fn a_unique_index_takes_no_value_twice(db: TestDatabase) {
        indexed(|db| on_task(db).unique()).up(&db).await.unwrap();
        let error = insert(&db, "2, 'a', NULL").await.unwrap_err();
        assert!(matches!(error.sql_err(), Some(sea_orm::SqlErr::UniqueConstraintViolation(_))));
    }

    async fn a_plain_index_of_the_same_name_does_not_pass_for_a_unique_one(db: TestDatabase) {
        let registry = indexed(|db| on_task(db).unique());
        registry.up(&db).to(0).await.unwrap();
        db.sql("CREATE INDEX items_task ON items (task)").await;

        let error = registry.up(&db).await.unwrap_err();

        assert_failed(&error, 1, 0);
        let cause = error.causes().join("\n");
        assert!(
            cause.contains("there is an index items_task already, and it is not unique"),
            "{cause}"
        );
        db.sql("DROP INDEX items_task").await;
        assert_eq!(registry.up(&db).await.unwrap().version, 1);
    }

    async fn a_unique_index_is_built_as_soon_as_the_rows_are_unique(db: TestDatabase) {
        let registry = indexed(|db| on_task(db).unique());
        registry.up(&db).to(0).await.unwrap();
        insert(&db, "2, 'a', NULL").await.unwrap();

        let error = registry.up(&db).await.unwrap_err();

        assert_failed(&error, 1, 0);
        assert!(matches!(error.failure(), Some(Failure::Migrate(_))), "{error:?}");
        db.sql("DELETE FROM items WHERE id = 2").await;
        assert_eq!(registry.up(&db).await.unwrap().version, 1);
        insert(&db, "2, 'a', NULL").await.unwrap_err();
    }

    async fn a_filtered_index_is_of_the_rows_that_meet_its_condition(db: TestDatabase) {
        indexed(|db| on_task(db).unique().filter("deleted IS NULL")).up(&db).await.unwrap();
        insert(&db, "2, 'a', 1").await.unwrap();
        insert(&db, "3, 'a', 1").await.unwrap();
        insert(&db, "4, 'a', NULL").await.unwrap_err();
    }

    async fn columns_may_be_expressions(db: TestDatabase) {
        let lower =
            indexed(|db| create_index(db, "items_task", "items", "lower(task), deleted").unique());
        lower.up(&db).await.unwrap();
        insert(&db, "2, 'A', NULL").await.unwrap();
        insert(&db, "3, 'B', 1").await.unwrap();
        insert(&db, "4, 'b', 1").await.unwrap_err();
    }

    async fn within_a_transaction_it_is_refused(db: TestDatabase) {
        let error = Registry::new(vec![Box::new(Index(Mode::Transaction, on_task))]).up(&db).await;
        let text = error.unwrap_err().explain().to_string();
        assert!(text.contains("create_index runs outside a transaction"), "{text}");
        assert_eq!(version(&*db).await, -1);
    }
}

#[tokio::test]
async fn the_method_of_an_index_is_postgresqls_and_sqlite_passes_it_over() {
    let indexed = || indexed(|db| create_index(db, "items_id", "items", "id").using("hash"));
    if Backend::Sqlite.is_wanted() {
        let db = Backend::Sqlite.empty_database().await;
        assert_eq!(indexed().up(&db).await.unwrap().version, 1);
        assert!(db.schema().has_index("items", "items_id").await.unwrap());
    }
    if Backend::Postgres.is_wanted() {
        let db = Backend::Postgres.empty_database().await;
        assert_eq!(indexed().up(&db).await.unwrap().version, 1);
        let method = "SELECT amname::text FROM pg_am JOIN pg_class ON pg_am.oid = relam
                      WHERE relname = 'items_id'";
        assert_eq!(text(&*db, method).await, "hash");
    }
}

/// An interrupted build leaves an index of that name, which serves no query.
#[tokio::test]
async fn on_postgresql_an_invalid_unique_index_is_built_anew_with_its_condition() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    let registry = indexed(|db| on_task(db).unique().filter("deleted IS NULL"));
    registry.up(&db).to(0).await.unwrap();
    insert(&db, "2, 'a', NULL").await.unwrap();
    registry.up(&db).await.unwrap_err();
    let state = "SELECT count(*) FROM pg_index WHERE indexrelid = to_regclass('items_task')";
    assert_eq!(number(&*db, &format!("{state} AND NOT indisvalid")).await, 1);

    db.sql("UPDATE items SET deleted = 1 WHERE id = 2").await;
    registry.up(&db).await.unwrap();

    assert_eq!(number(&*db, &format!("{state} AND indisvalid AND indisunique")).await, 1);
    insert(&db, "3, 'a', 1").await.unwrap();
}

/// Since PostgreSQL 17 the functions of an index do not see the search path while it is built
/// (<https://www.postgresql.org/docs/17/release-17.html>).
#[tokio::test]
async fn on_postgresql_an_index_is_built_once_its_function_brings_its_own_search_path() {
    let Some(db) = only_on(Backend::Postgres).await else { return };
    db.sql("CREATE FUNCTION inner_key(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT $1'")
        .await;
    db.sql(
        "CREATE FUNCTION outer_key(text) RETURNS text IMMUTABLE LANGUAGE plpgsql
         AS 'BEGIN RETURN inner_key($1); END'",
    )
    .await;
    let registry = indexed(|db| create_index(db, "items_task", "items", "outer_key(task)"));

    if major(&*db).await >= 17 {
        let error = registry.up(&db).await.unwrap_err();
        assert_failed(&error, 1, 0);
        assert!(error.explain().to_string().contains("function inner_key(text) does not exist"));
        db.sql("ALTER FUNCTION outer_key SET search_path = public").await;
    }
    assert_eq!(registry.up(&db).await.unwrap().version, 1);
}
