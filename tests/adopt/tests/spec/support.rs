//! Databases that a tool has migrated, and their contents.

use std::path::Path;

use adopt_tests::Tool;
use expect_test::{ExpectFile, expect_file};
use onerow::prelude::*;
use onerow_testing::{Backend, Schema, Table, TestDatabase};

pub async fn migrated(backend: Backend, tool: Tool, count: usize) -> TestDatabase {
    let db = backend.empty_database().await;
    tool.migrate(db.url(), count).await;
    db
}

/// The tool's own table: its definition, the types of its values, and its rows. Numbers in the
/// `measured` columns are shown as 0.
pub async fn bookkeeping(db: &TestDatabase, tool: Tool, measured: &[&str]) -> String {
    let table = definition(db, tool.table()).await;
    let columns: Vec<_> = table.columns().iter().map(|column| column.name.clone()).collect();
    let columns: Vec<_> = columns.iter().map(String::as_str).collect();
    let names = columns.join(", ");
    let (type_of, in_utc) = match db.get_database_backend() {
        DatabaseBackend::Sqlite => ("typeof", ""),
        _ => ("pg_typeof", "SET LOCAL TIME ZONE 'UTC'; "),
    };
    let types: Vec<_> = columns.iter().map(|name| format!("{type_of}({name})")).collect();
    let types =
        db.rows(&format!("SELECT DISTINCT {} FROM {}", types.join(", "), tool.table())).await;
    let rows = db.rows(&format!("{in_utc}SELECT {names} FROM {} ORDER BY 1", tool.table())).await;
    let rows: Vec<_> = rows.iter().map(|row| without_measures(row, &columns, measured)).collect();
    format!("{table}\n\n{names}\n{}\n{}\n", types.join("\n"), rows.join("\n"))
}

/// It is read under another name, in a transaction that is rolled back.
async fn definition(db: &TestDatabase, name: &str) -> Table {
    let transaction = db.begin().await.unwrap();
    transaction
        .execute_unprepared(&format!("ALTER TABLE {name} RENAME TO bookkeeping"))
        .await
        .unwrap();
    let schema = Schema::of(&transaction).await.unwrap();
    transaction.rollback().await.unwrap();
    schema.table("bookkeeping").unwrap().clone()
}

fn without_measures(row: &str, columns: &[&str], measured: &[&str]) -> String {
    let value = |(value, column): (&str, &&str)| {
        if measured.contains(column) { without_numbers(value) } else { value.to_owned() }
    };
    row.split('|').zip(columns).map(value).collect::<Vec<_>>().join("|")
}

fn without_numbers(value: &str) -> String {
    let mut shape = value.replace(|c: char| c.is_ascii_digit(), "0");
    while shape.contains("00") {
        shape = shape.replace("00", "0");
    }
    shape
}

/// A text in `expected/`, which `UPDATE_EXPECT=1 cargo test` renews. The path is absolute because
/// `expect_file!` takes the outermost package for the workspace of all.
pub fn expected(name: &str, backend: Backend) -> ExpectFile {
    let file = format!("tests/spec/expected/{name}.{}.txt", backend.name());
    expect_file![Path::new(env!("CARGO_MANIFEST_DIR")).join(file)]
}

/// All rows of the tables that the migrations made.
pub async fn contents(db: &TestDatabase) -> Vec<Vec<String>> {
    let mut contents = Vec::new();
    for table in adopt_tests::schema(db).await.tables() {
        contents.push(db.rows(&format!("SELECT * FROM {} ORDER BY 1", table.name())).await);
    }
    contents
}
