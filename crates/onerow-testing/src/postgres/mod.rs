//! PostgreSQL for tests: where the server comes from, and the databases on it.
//!
//! | module | holds |
//! |---|---|
//! | `databases` | databases on a server: made, copied, dropped, and what killed processes left behind |
//! | `shared` | the server that the test processes of a user share |
//! | `server` | [`PostgresServer`]: a server of one's own |
//! | `supervisor` | the process that outlives ours by as long as it takes to clean up |
//! | `installed` | where PostgreSQL's programs are |

mod databases;
mod installed;
mod server;
mod shared;
mod supervisor;

pub(super) use databases::{Server, TestDb};
pub use server::{PostgresServer, ServerError};
