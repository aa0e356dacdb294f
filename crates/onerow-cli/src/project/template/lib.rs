//! The migrations, in order: each is the step from the version before it.
//!
//! `onerow new "add due date"` writes the next. One that has run anywhere is never edited: a mistake
//! is mended by the next.

use onerow::Registry;

mod m0000;

/// Every migration; its place in the list is its version.
#[must_use]
pub fn registry() -> Registry {
    onerow::registry![m0000]
}
