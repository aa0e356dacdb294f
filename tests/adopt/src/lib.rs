//! Databases as onerow takes them over, made by the tools that have migrated them so far.
//!
//! Every tool has the same five migrations, in its own form: SQL in `migrations/`, Rust in
//! `src/tools/sea_orm/`, Python in `quart_db/`. The third changes data. The fourth cannot run in a
//! transaction, so it runs outside one if the tool can do that.

mod registry;
mod schema;
pub mod tools;

pub use registry::registry;
pub use schema::schema;
pub use tools::Tool;

/// How many migrations every tool has.
pub const MIGRATIONS: usize = 5;
