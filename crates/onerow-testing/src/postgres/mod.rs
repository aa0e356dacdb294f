//! PostgreSQL for tests: a server, and the databases on it.
//!
//! | module | holds |
//! |---|---|
//! | `databases` | databases on a server: made, copied, dropped; leftovers of killed processes |
//! | `shared` | the server that the test processes of a user share |
//! | `server` | [`PostgresServer`]: a server of one's own |
//! | `supervisor` | the process that outlives ours until it has cleaned up |
//! | `installed` | finding PostgreSQL's programs |

mod databases;
mod installed;
mod server;
mod shared;
mod supervisor;

pub(super) use databases::{Server, TestDb};
pub use server::{PostgresServer, ServerError};

/// Waits until the condition holds, or fails the test.
#[cfg(test)]
fn wait_until(what: &str, condition: impl Fn() -> bool) {
    use std::{
        thread::sleep,
        time::{Duration, Instant},
    };

    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "still waiting: {what}");
        sleep(Duration::from_millis(20));
    }
}
