//! What the migrations made, whoever ran them.

use onerow::prelude::*;
use onerow_testing::Schema;

use crate::Tool;

/// The schema without the tables that the tools keep for themselves. That of quart-db is not in it
/// anyway: it has the name of onerow's own.
pub async fn schema(db: &Database) -> Schema {
    Schema::of(db).await.unwrap().without(&Tool::RUST.map(Tool::table))
}
