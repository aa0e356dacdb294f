//! The command line over the app's migrations: `cargo run -p migration -- up`.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Unless DATABASE_URL or --database-url names another.
    let default = "sqlite://database.sqlite?mode=rwc";
    onerow_cli::run_with_default_database(migration::registry(), default)
}
