//! How the schema of a database prints.

mod entity;
mod postgres;
mod sqlite;

use sea_orm::{ConnectionTrait, TransactionTrait};

use onerow::Database;
use onerow_schema::{Schema, Table};
use onerow_testing::{TestDatabase, on_every_backend};

async fn execute(db: &impl ConnectionTrait, sql: &str) {
    db.execute_unprepared(sql).await.unwrap_or_else(|error| panic!("{error}\n{sql}"));
}

async fn schema(db: &impl ConnectionTrait) -> Schema {
    Schema::of(db).await.unwrap()
}

/// The printed difference that a change makes. The change is undone afterwards.
async fn difference(db: &Database, change: &str) -> String {
    let before = schema(db).await;
    let transaction = db.begin().await.unwrap();
    transaction
        .execute_unprepared(change)
        .await
        .unwrap_or_else(|error| panic!("{error}\n{change}"));
    let after = schema(&transaction).await;
    transaction.rollback().await.unwrap();
    assert_eq!(after.difference(&before).is_empty(), after == before);
    before.difference(&after).to_string()
}

const TABLES: &str = "
    CREATE TABLE members (id INTEGER PRIMARY KEY, email TEXT NOT NULL UNIQUE);
    CREATE TABLE todos (
        id INTEGER PRIMARY KEY,
        member_id INTEGER NOT NULL REFERENCES members (id) ON DELETE CASCADE,
        task TEXT,
        done BOOLEAN NOT NULL DEFAULT false
    );
    CREATE INDEX todos_open ON todos (member_id, lower(task)) WHERE NOT done;
    CREATE VIEW open_todos AS SELECT t.task, m.email FROM todos t JOIN members m ON m.id = t.member_id;";

on_every_backend! {
    async fn an_empty_database_prints_as_nothing(db: TestDatabase) {
        assert_eq!(schema(&*db).await.to_string(), "");
        assert_eq!(schema(&*db).await, Schema::default());
    }

    async fn the_order_of_creation_does_not_matter(db: TestDatabase) {
        let first =
            "CREATE TABLE a (x INTEGER UNIQUE, y INTEGER CHECK (y > 0)); CREATE INDEX a_y ON a (y)";
        let second = "CREATE TABLE b (z INTEGER)";
        let third = "CREATE INDEX a_xy ON a (x, y)";
        execute(&db, &[first, second, third].join(";")).await;
        let one = schema(&*db).await;

        execute(&db, "DROP TABLE a; DROP TABLE b").await;
        execute(
            &db,
            &[second, "CREATE TABLE a (x INTEGER UNIQUE, y INTEGER CHECK (y > 0))", third]
                .join(";"),
        )
        .await;
        execute(&db, "CREATE INDEX a_y ON a (y)").await;

        one.assert_same_as(&schema(&*db).await);
    }

    async fn a_schema_can_be_looked_into(db: TestDatabase) {
        execute(&db, TABLES).await;
        let schema = schema(&*db).await;

        assert_eq!(schema.tables().map(Table::name).collect::<Vec<_>>(), ["members", "todos"]);
        assert!(schema.table("open_todos").is_none());
        let todos = schema.table("todos").unwrap();
        assert_eq!((todos.columns().len(), todos.primary_key()), (4, &["id".to_owned()][..]));
        let done = todos.column("done").unwrap();
        assert_eq!(
            (&*done.data_type, done.nullable, done.default.as_deref()),
            ("boolean", false, Some("false"))
        );
        assert_eq!(done.to_string(), "done boolean not null default false");
        assert!(todos.constraints().iter().any(|constraint| {
            constraint.ends_with("foreign key (member_id) references members(id) on delete cascade")
        }));
        assert!(todos.indexes()[0].starts_with("index todos_open "));
        assert!(todos.triggers().is_empty() && todos.column("due").is_none());
    }

    #[should_panic(expected = "table todos\n+ due date")]
    async fn schemas_that_differ_are_not_the_same(db: TestDatabase) {
        execute(&db, TABLES).await;
        let before = schema(&*db).await;
        execute(&db, "ALTER TABLE todos ADD COLUMN due DATE").await;
        before.assert_same_as(&schema(&*db).await);
    }

    async fn a_changed_column_shows_its_line_alone(db: TestDatabase) {
        execute(&db, TABLES).await;
        for (change, expected) in [
            (
                "ALTER TABLE todos ADD COLUMN due DATE NOT NULL DEFAULT '2030-01-01'",
                "+ due date not null default '2030-01-01'",
            ),
            ("ALTER TABLE todos DROP COLUMN done", "- done boolean not null default false"),
            ("ALTER TABLE todos RENAME COLUMN task TO title", "- task text\n+ title text"),
        ] {
            // Otherwise they would go with the column, or be renamed with it.
            execute(&db, "DROP VIEW IF EXISTS open_todos; DROP INDEX IF EXISTS todos_open").await;
            let printed = difference(&db, change).await.replace("::date", "");
            assert_eq!(printed, format!("table todos\n{expected}"), "{change}");
        }
    }

    async fn another_order_of_columns_is_a_difference(db: TestDatabase) {
        execute(&db, "CREATE TABLE a (x INTEGER, y INTEGER)").await;
        let change = "DROP TABLE a; CREATE TABLE a (y INTEGER, x INTEGER)";
        assert_eq!(difference(&db, change).await, "table a\n+ y integer\n- y integer");
    }

    async fn a_table_that_comes_or_goes_shows_whole(db: TestDatabase) {
        assert_eq!(
            difference(&db, "CREATE TABLE labels (name TEXT NOT NULL)").await,
            "+ table labels\n+   name text not null"
        );
        execute(&db, "CREATE TABLE labels (name TEXT); CREATE TABLE moods (name TEXT)").await;
        assert_eq!(
            difference(&db, "DROP TABLE labels; ALTER TABLE moods ADD COLUMN x INTEGER").await,
            "\
- table labels
-   name text

table moods
+ x integer"
        );
    }

    async fn a_changed_index_shows_its_line_alone(db: TestDatabase) {
        execute(&db, TABLES).await;
        for change in [
            "(member_id, upper(task)) WHERE NOT done",
            "(member_id, lower(task)) WHERE done",
            "(member_id, lower(task))",
            "(member_id DESC, lower(task)) WHERE NOT done",
        ] {
            let change =
                format!("DROP INDEX todos_open; CREATE INDEX todos_open ON todos {change}");
            let printed = difference(&db, &change).await;
            let lines: Vec<_> = printed.lines().collect();
            assert!(
                matches!(&lines[..], ["table todos", from, to]
                    if from.starts_with("- index todos_open") && to.starts_with("+ index todos_open")),
                "{printed}"
            );
        }
        let printed = difference(&db, "DROP INDEX todos_open").await;
        assert!(
            printed.starts_with("table todos\n- index todos_open ") && printed.lines().count() == 2
        );
    }

    async fn a_changed_view_shows_its_lines_alone(db: TestDatabase) {
        execute(&db, TABLES).await;
        let view = "CREATE VIEW open_todos AS SELECT t.task, m.id FROM todos t JOIN members m \
            ON m.id = t.member_id";
        let printed = difference(&db, &format!("DROP VIEW open_todos; {view}")).await;
        assert!(printed.starts_with("view open_todos\n- "), "{printed}");
        assert_eq!(printed.lines().count(), 3, "{printed}");
    }

    async fn names_that_need_quotes_have_them(db: TestDatabase) {
        execute(
            &db,
            r#"CREATE TABLE "Two Words" ("check" INTEGER UNIQUE, "a""b" TEXT, plain TEXT)"#,
        )
        .await;
        let schema = schema(&*db).await;
        let printed = schema.to_string();
        assert!(
            printed.starts_with(
                "table \"Two Words\"\n  \"check\" integer\n  \"a\"\"b\" text\n  plain text\n"
            ),
            "{printed}"
        );
        assert!(printed.ends_with("unique (\"check\")"), "{printed}");
        assert_eq!(schema.table("Two Words").unwrap().columns()[1].name, "a\"b");
    }
}
