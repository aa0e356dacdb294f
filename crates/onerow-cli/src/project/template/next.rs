use onerow::prelude::*;

pub struct Migration;

#[async_trait]
impl MigrationTrait for Migration {
    fn description(&self) -> &str {
        {{description}}
    }

    async fn migrate(&self, _db: &Database) -> Result<(), DbErr> {
        // For example, with `db` instead of `_db`:
        //
        // let due = schema::timestamp_with_time_zone_null("due");
        // let todos = Table::alter().table("todos").add_column(due).take();
        // db.schema().alter_table(todos).await
        Err(DbErr::Migration("{{name}} is not written yet".into()))
    }
}

#[cfg(test)]
mod tests {
    use onerow_testing::{Backend, on_every_backend};

    use crate::{{registry}};

    on_every_backend! {
        async fn every_row_is_kept(backend: Backend) {
            let db = backend.database_before({{registry}}(), {{version}}).await;
            // First insert the rows that it might harm:
            // db.sql("INSERT INTO todos (task) VALUES ('call the bank')").await;

            db.apply({{version}}).keeping_every_row().await.unwrap();
        }
    }
}
