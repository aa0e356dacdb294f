//! The command line over the app's migrations: `cargo run -p migration -- up`.

use std::process::ExitCode;

fn main() -> ExitCode {
    onerow::cli::run_with_default_database(migration::registry(), "sqlite://database.sqlite?mode=rwc")
}
