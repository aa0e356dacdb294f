//! What the migrations made, whoever ran them.

use onerow::{prelude::*, testing::Schema};

use crate::Tool;

/// The schema without the tables that the tools keep for themselves.
///
/// They are dropped in a transaction that is rolled back, as nothing can be taken out of a [`Schema`]. That of quart-db is
/// not in it anyway: it has the name of onerow's own.
pub async fn schema(db: &Database) -> Schema {
    let transaction = db.begin().await.unwrap();
    for tool in Tool::RUST {
        let drop = format!("DROP TABLE IF EXISTS {}", tool.table());
        transaction.execute_unprepared(&drop).await.unwrap();
    }
    let schema = Schema::of(&transaction).await.unwrap();
    transaction.rollback().await.unwrap();
    schema
}
