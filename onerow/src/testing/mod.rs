//! Throwaway databases, and one migration at a time: for unit tests of migrations. Unix only.
//!
//! A test of a migration brings a [`TestDatabase`] to the version before, adds rows, applies the one migration and
//! looks at what became of them. [`on_every_backend!`](crate::on_every_backend) runs it on each backend that is
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
//! use onerow::{prelude::*, testing::TestDatabase};
//!
//! fn registry() -> Registry {
//!     onerow::registry![m0000, m0001]
//! }
//!
//! onerow::on_every_backend! {
//!     async fn m0001_lowers_the_case_of_addresses(db: TestDatabase) {
//!         db.up_to(&registry(), 0).await.unwrap();
//!         db.execute_unprepared("INSERT INTO members VALUES ('Ada@Example.org')").await.unwrap();
//!
//!         db.apply(&registry(), 1).await.unwrap();
//!
//!         let lowered = "UPDATE members SET email = email WHERE email = 'ada@example.org'";
//!         assert_eq!(db.execute_unprepared(lowered).await.unwrap().rows_affected(), 1);
//!     }
//! }
//! # fn main() {}
//! ```
//!
//! | variable | what it does |
//! |---|---|
//! | `TEST_POSTGRES_URL` | the server to make databases on, as a user who may; without it a [`PostgresServer`] is started |
//! | `POSTGRES_BIN_DIR` | the directory of PostgreSQL's programs, where they are not found |
//! | `ONEROW_TEST_BACKENDS` | the backends to run on, such as `sqlite` or `sqlite,postgres`; without it all |

mod database;
mod every_backend;
#[cfg(feature = "postgres")]
mod installed;
#[cfg(feature = "postgres")]
mod server;
#[cfg(feature = "postgres")]
mod supervisor;

pub use database::TestDatabase;
pub use every_backend::Backend;
#[cfg(feature = "postgres")]
pub use server::{PostgresServer, ServerError};

pub use crate::on_every_backend;

/// What the expansion of [`on_every_backend!`](crate::on_every_backend) calls.
#[doc(hidden)]
pub use every_backend::run;
