//! SeaORM entities of the app's tables, as the newest migration leaves them.
//!
//! `tests/` compares them with the migrated schema, column by column, on every backend.

pub mod member;
pub mod todo;
