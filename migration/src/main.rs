//! The command line over the app's migrations: `cargo run -p migration -- up`.

use std::process::ExitCode;

fn main() -> ExitCode {
    onerow::cli::run(migration::registry())
}
