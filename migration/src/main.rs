//! The command line over the app's migrations: `cargo run -p migration -- up`.

use std::process::ExitCode;

fn main() -> ExitCode {
    // It is used if neither DATABASE_URL nor --database-url names another database.
    let default = "sqlite://database.sqlite?mode=rwc";
    onerow_cli::run_with_default_database(migration::registry(), default)
}
