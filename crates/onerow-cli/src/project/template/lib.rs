//! The migrations, in order: each is the step from the version before it.
//!
//! `onerow new "add due date"` writes the next one. A migration that has run anywhere is never
//! edited: the next one corrects its mistakes.

use onerow::Registry;

mod m0000;

/// All migrations. The place of each in the list is its version.
#[must_use]
pub fn registry() -> Registry {
    onerow::registry![m0000]
}
