//! Databases as they are when onerow takes them over: made by the tools that migrated them until
//! then.
//!
//! Every tool has the same five migrations, in its own form: SQL in `migrations/`, Rust in
//! `src/tools/sea_orm/`, Python in `quart_db/`. The third changes data, and the fourth cannot run
//! in a transaction, where the tool has a way without.

mod registry;
mod schema;
pub mod tools;

pub use registry::registry;
pub use schema::schema;
pub use tools::Tool;

/// How many migrations every tool has.
pub const MIGRATIONS: usize = 5;
