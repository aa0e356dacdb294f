//! Driving the programs.

mod app;
mod built;
mod log;
mod migration_cli;
mod project;
mod slow_request;
mod transcript;

use std::{
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

pub use app::App;
pub use built::built;
pub use migration_cli::MigrationCli;
pub use project::{Project, turn};
pub use slow_request::SlowRequest;
pub use transcript::Reader;

/// Nobody listens on port 1.
pub const NO_SERVER: &str = "postgresql://tozo:hunter2@127.0.0.1:1/tozo";

/// A program that takes longer hangs.
const PATIENCE: Duration = Duration::from_mins(1);

/// A program whose environment is only what the test sets.
fn program(path: &Path, dir: &Path) -> Command {
    let mut command = Command::new(path);
    command.env_clear().current_dir(dir);
    command
}

/// Asks again and again until there is an answer.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
