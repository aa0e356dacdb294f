//! An example: replace the to-dos by your own first table.

use onerow::prelude::{schema::*, *};

pub struct Migration;

#[async_trait]
impl MigrationTrait for Migration {
    fn description(&self) -> &str {
        "todos"
    }

    /// Commits together with the new version, or not at all.
    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        let todos = Table::create()
            .table("todos")
            .col(big_pk_auto("id"))
            .col(text("task"))
            .col(boolean("complete").default(false))
            .take();
        db.schema().create_table(todos).await
    }
}

#[cfg(test)]
mod tests {
    use onerow_testing::{Backend, on_every_backend};

    use crate::registry;

    // Runs on each backend that Cargo.toml names, in a database of its own.
    on_every_backend! {
        async fn a_new_todo_is_open(backend: Backend) {
            let db = backend.database_at(registry(), 0).await;

            db.sql("INSERT INTO todos (task) VALUES ('call the bank')").await;

            assert_eq!(db.rows("SELECT task, complete FROM todos").await, ["call the bank|false"]);
        }
    }
}
