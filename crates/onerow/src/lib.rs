//! Forward-only schema migrations on SeaORM. One row in the database is the version, and that row is the lock.
//!
//! | module | holds |
//! |---|---|
//! | `migration` | [`MigrationTrait`]: what a migration is |
//! | `registry` | [`Registry`] and [`registry!`]: the migrations in order; [`Status`] |
//! | `sql` | [`SqlMigration`] and [`embed_migrations!`]: a folder of `.sql` files that were written for another tool |
//! | `up` | [`Up`]: a run and its options; [`Report`] |
//! | `run` | the loop: claim the row, run a migration, move the version, commit |
//! | `watch` | the second connection, which looks at what a migration is doing |
//! | `progress` | [`Progress`]: what a run tells while it goes on |
//! | `version` | the version row: read, create, claim |
//! | `table` | which table holds it |
//! | `adopt` | [`Adopt`], [`Baseline`]: taking over what another tool has migrated, and its migrations |
//! | `database` | [`Database`]: the pool an app holds, or the transaction a migration is handed |
//! | `backend` | what differs between PostgreSQL and SQLite |
//! | `index` | [`create_index`]: an index built beside the traffic, healed when a build was cut off |
//! | `place` | where a statement that failed stands |
//! | `error` | [`Error`] and [`Failure`] |
//!
//! ```
//! mod m0000 {
//!     use onerow::prelude::{schema::*, *};
//!
//!     pub struct Migration;
//!
//!     #[async_trait]
//!     impl MigrationTrait for Migration {
//!         fn description(&self) -> &str {
//!             "members"
//!         }
//!
//!         async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
//!             let members = Table::create().table("members").col(pk_auto("id")).col(string("email")).to_owned();
//!             db.schema().create_table(members).await
//!         }
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), onerow::Error> {
//! let db = onerow::Database::connect("sqlite::memory:").await?;
//! let report = onerow::registry![m0000].up(&db).await?;
//! assert_eq!((report.initial, report.version), (-1, 0));
//! # db.disconnect().await
//! # }
//! ```

mod adopt;
mod backend;
mod connections;
mod database;
pub mod databases;
mod driver;
mod error;
mod failure;
mod index;
mod migration;
mod monitor;
mod options;
mod place;
pub mod prelude;
mod progress;
mod registry;
mod run;
mod script;
mod status;
mod table;
mod tool;
mod version;
mod waiting;

pub use adopt::{
    Adopt, Adopted, Adoption, AdoptionWarning, Baseline, HistoryProblem, HistoryProblems,
    SeaOrmMigration,
};
pub use backend::ServerSession;
pub use database::Database;
pub use driver::words;
pub use error::{Error, ErrorKind};
pub use failure::Failure;
pub use index::{CreateIndex, create_index};
pub use migration::{MigrationTrait, Mode, module_name};
pub use progress::{Applied, Progress};
pub use registry::Registry;
pub use run::{Report, Up};
pub use script::SqlMigration;
pub use status::{MigrationStatus, Status};
pub use table::is_version_table;
pub use tool::Tool;

/// Not an interface: what the expansions of [`registry!`] and [`embed_migrations!`] call.
#[doc(hidden)]
pub mod __private {
    pub use crate::migration::identity;
    pub use crate::registry::{check_names, continued};
    pub use crate::script::{Script, embedded};
    pub use onerow_macros::embed_migrations;
}
