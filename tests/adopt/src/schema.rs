//! The schema that the migrations make, whichever tool runs them.

use onerow::prelude::*;
use onerow_testing::Schema;

use crate::Tool;

/// The schema without the tools' own tables. quart-db's is left out anyway, because it has the name
/// of onerow's.
pub async fn schema(db: &Database) -> Schema {
    Schema::of(db).await.unwrap().without(&Tool::RUST.map(Tool::table))
}
