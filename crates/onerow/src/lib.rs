//! Forward-only schema migrations on SeaORM. One row in the database is the version, and that row
//! is the lock.
//!
//! A migration commits together with the version, or nothing of it stays. Each takes effect exactly
//! once, however many processes start at the same time, and whatever is killed. If there is nothing
//! to do, a start costs one `SELECT`.
//!
//! # A migration
//!
//! A migration is a module `m0000`, `m0001`, … with a `Migration` that implements
//! [`MigrationTrait`]. `db` is the transaction that also holds the version row: entities,
//! `sea_query` statements and plain SQL run on it, and an error rolls all of them back.
//! [`registry!`] puts the modules in order. A gap, a duplicate or a wrong order does not compile.
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
//!             let members = Table::create()
//!                 .table("members")
//!                 .col(pk_auto("id"))
//!                 .col(string("email"))
//!                 .take();
//!             db.schema().create_table(members).await
//!         }
//!     }
//! }
//!
//! pub fn registry() -> onerow::Registry {
//!     onerow::registry![m0000]
//! }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), onerow::Error> {
//! # let db = onerow::Database::connect("sqlite::memory:").await?;
//! # let report = registry().up(&db).await?;
//! # assert_eq!((report.initial, report.version), (-1, 0));
//! # db.disconnect().await
//! # }
//! ```
//!
//! What refuses a transaction, such as `CREATE INDEX CONCURRENTLY`, goes into a migration of
//! [`Mode::Outside`]; [`create_index`] builds an index beside the traffic. A folder of `.sql` files
//! that were written for another tool becomes a registry by [`embed_migrations!`].
//!
//! # The app
//!
//! The app connects, brings its schema up to date, and keeps the pool:
//!
//! ```
//! use onerow::Database;
//!
//! async fn create_database(url: &str) -> Result<Database, onerow::Error> {
//!     let db = Database::connect(url).await?;
//!     let report = registry().up(&db).await?;
//!     println!("from version {} to {}", report.initial, report.version);
//!     Ok(db)
//! }
//! # fn registry() -> onerow::Registry { onerow::registry![] }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), onerow::Error> {
//! # create_database("sqlite::memory:").await?.disconnect().await
//! # }
//! ```
//!
//! [`Registry::up`] takes options: [`to`](Up::to) a version, timeouts, [`cancel_on`](Up::cancel_on)
//! a signal. An [`Error`] says what happened and which version the database holds; its
//! [`kind`](Error::kind) is for code.
//!
//! # A test
//!
//! The crate `onerow-testing` makes databases at the version before a migration, on each backend:
//!
//! ```text
//! on_every_backend! {
//!     async fn addresses_are_in_lower_case(backend: Backend) {
//!         let db = backend.database_before(registry(), 1).await;
//!         db.sql("INSERT INTO members (email) VALUES ('Ada@Example.org')").await;
//!
//!         db.apply(1).await.unwrap();
//!
//!         assert_eq!(db.rows("SELECT email FROM members").await, ["ada@example.org"]);
//!     }
//! }
//! ```
//!
//! # The deploy
//!
//! Replicas that migrate when they start need no step of their own: one of them applies what is
//! pending, and the others wait, then find nothing to do. For a step of its own, the crate
//! `onerow-cli` gives a crate of migrations a command line:
//!
//! ```text
//! cargo run -p migration -- up       # applies what is pending
//! cargo run -p migration -- check    # succeeds if the database is at this build's version
//! ```
//!
//! # Features
//!
//! | feature | brings |
//! |---|---|
//! | `postgres`, `sqlite` | the driver; a program compiles those that it names, and no other |
//! | `rustls`, `native-tls` | TLS to the server |
//!
//! A database that another tool has migrated is taken over by [`Registry::adopt`].

#![cfg_attr(docsrs, feature(doc_cfg))]

// The map of the crate, from the outside in:
//
// what an author of migrations meets   migration, registry, script, index, database/, prelude
// what a caller meets                  run/up, status, progress, error, failure, databases
// the loop                             run/: claim, run a migration, move the version, commit
// taking over from other tools         adopt/, tool
// what both stand on                   connections (the sessions of a run), waiting (where a
//                                      waiter sleeps), monitor (the second session), version
//                                      (what the row says), table (which table holds it), options
// the databases                        backend/: small traits, and a folder for each database;
//                                      all SQL on the version row is in the files version_row.rs
// at the bottom                        driver/ (its errors), place (where a statement stands)

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
