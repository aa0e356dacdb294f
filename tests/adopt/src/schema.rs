//! The schema that the migrations make, whichever tool runs them.

use onerow_testing::{Schema, TestDatabase};

use crate::Tool;

/// The schema without the tools' own tables. quart-db's is left out anyway, because it has the name
/// of onerow's.
pub async fn schema(db: &TestDatabase) -> Schema {
    db.read_schema().await.without(&Tool::RUST.map(Tool::table))
}
