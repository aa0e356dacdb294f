//! Databases for tests, and one migration at a time. Unix only.
//!
//! A test of a migration starts from the version before, adds rows, applies the one migration and
//! checks the rows. [`on_every_backend!`](crate::on_every_backend) runs it on each backend that is
//! compiled in:
//!
//! ```
//! # mod m0000 {
//! #     use onerow::prelude::*;
//! #     pub struct Migration;
//! #     #[async_trait]
//! #     impl MigrationTrait for Migration {
//! #         async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
//! #             db.execute_unprepared("CREATE TABLE members (email TEXT)").await.map(drop)
//! #         }
//! #     }
//! # }
//! # mod m0001 {
//! #     use onerow::prelude::*;
//! #     pub struct Migration;
//! #     #[async_trait]
//! #     impl MigrationTrait for Migration {
//! #         async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
//! #             db.execute_unprepared("UPDATE members SET email = lower(email)").await.map(drop)
//! #         }
//! #     }
//! # }
//! use onerow_testing::{Backend, on_every_backend};
//!
//! fn registry() -> onerow::Registry {
//!     onerow::registry![m0000, m0001]
//! }
//!
//! on_every_backend! {
//!     async fn addresses_are_in_lower_case(backend: Backend) {
//!         let db = backend.database_before(registry(), 1).await;
//!         db.sql("INSERT INTO members VALUES ('Ada@Example.org')").await;
//!
//!         db.apply(1).await.unwrap();
//!
//!         assert_eq!(db.rows("SELECT email FROM members").await, ["ada@example.org"]);
//!     }
//! }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! #     addresses_are_in_lower_case::specification(Backend::Sqlite).await;
//! # }
//! ```
//!
//! `docs/testing.md` in the repository is the guide. The variables:
//!
//! | variable | what it does |
//! |---|---|
//! | `TEST_POSTGRES_URL` | the server to make databases on; without it, one is started and shared |
//! | `POSTGRES_BIN_DIR` | the directory of PostgreSQL's programs, if they are not found |
//! | `ONEROW_TEST_BACKENDS` | `sqlite` or `sqlite,postgres`: the backends to run on; without it, all |
//! | `TMPDIR` | where the files go; without it `/tmp`, for PostgreSQL `/dev/shm` with 4 GiB free |

#![cfg_attr(docsrs, feature(doc_cfg))]
// One backend needs items that another does not.
#![cfg_attr(
    not(all(feature = "postgres", feature = "sqlite")),
    allow(dead_code, unused_mut, irrefutable_let_patterns)
)]

#[cfg(not(unix))]
compile_error!("onerow-testing starts servers as only Unix can");

#[cfg(not(any(feature = "postgres", feature = "sqlite")))]
compile_error!("onerow-testing needs the feature \"postgres\" or \"sqlite\", or both");

mod apply;
mod backend;
mod connection;
mod database;
mod every_backend;
mod place;
#[cfg(feature = "postgres")]
mod postgres;
mod rows;
mod rows_kept;
mod scratch;
#[cfg(feature = "sqlite")]
mod sqlite;
mod template;
#[cfg(feature = "sqlite")]
mod test_file;

pub use apply::{Apply, ApplyError};
pub use backend::Backend;
pub use database::TestDatabase;
pub use onerow_schema::{Column, Difference, EntityDifference, Schema, Table};
#[cfg(feature = "postgres")]
pub use postgres::{PostgresServer, ServerError};

/// The expansion of [`on_every_backend!`](crate::on_every_backend) calls it.
#[doc(hidden)]
pub use every_backend::run;
