//! The app's migrations in order, `m0000`, `m0001`, …, each the step from the version before it.
//!
//! A migration that has run anywhere is never edited: the next one mends its mistakes. None of them
//! uses the `entity` crate, which follows the newest schema, because migrations must keep their
//! meaning.
//!
//! To add one, write `src/m0003.rs` beside the others, with its tests, and name it twice below.
//! `registry!` does not compile with a gap, a duplicate or a wrong order.

use onerow::Registry;

mod m0000;
mod m0001;
mod m0002;

/// All migrations of the app; the index is the version.
#[must_use]
pub fn registry() -> Registry {
    onerow::registry![m0000, m0001, m0002]
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;
    use onerow_testing::{Backend, on_every_backend};

    use crate::registry;

    on_every_backend! {
        /// The schema that all migrations make, to read and to review. `UPDATE_EXPECT=1 cargo test
        /// -p migration` writes it.
        async fn the_schema_is_the_one_in_the_repository(backend: Backend) {
            let db = backend.database(registry()).await;

            let schema = expect_file![format!(
                "{}/schema.{}.txt",
                env!("CARGO_MANIFEST_DIR"),
                backend.name()
            )];

            schema.assert_eq(&format!("{}\n", db.read_schema().await));
        }
    }
}
