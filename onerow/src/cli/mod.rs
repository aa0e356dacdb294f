//! The command line: `up`, `status` and `version` over the public API. The only place that prints or exits.
//!
//! A migration crate's `main.rs` is one line:
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     onerow::cli::run(registry())
//! }
//! # fn registry() -> onerow::Registry { onerow::registry![] }
//! ```
//!
//! It exits with 0 when done, 1 when it failed, 2 when it was called wrongly, and 130 or 143 when Ctrl-C or SIGTERM
//! stopped it.

mod arguments;
mod output;
mod project;
mod signal;

use std::{process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};

pub use arguments::{DatabaseArgs, init_tracing, parse};
pub use output::print_error;
pub use project::tool;

use crate::{Database, Error, Registry};
use output::{Format, Output};
use signal::Signals;

/// Brings the schema of a database up to date
#[derive(Parser)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 called wrongly, 130 and 143 stopped by Ctrl-C and SIGTERM.\n\
                  RUST_LOG=debug shows what happens underneath.",
    subcommand_required = true,
    arg_required_else_help = true
)]
struct Cli {
    #[command(flatten)]
    database: DatabaseArgs,

    /// How to print results
    #[arg(long, global = true, value_enum, default_value_t)]
    format: Format,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Apply the pending migrations, each once, in order
    Up(UpArgs),
    /// List the migrations and whether each is applied; changes nothing
    Status,
    /// Print the version that the database holds, -1 before the first migration; changes nothing
    Version,
}

#[derive(clap::Args)]
struct UpArgs {
    /// Stop at this version instead of the last
    #[arg(long, value_name = "VERSION", allow_negative_numbers = true)]
    to: Option<i32>,

    /// How long to wait for another runner, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    wait_timeout: u64,

    /// How long a migration may wait for a lock before it is rolled back and tried again, in seconds; 0 for ever
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    lock_timeout: u64,

    /// How often a migration that does not get a lock is tried
    #[arg(long, value_name = "TRIES", default_value_t = 10)]
    max_tries: u32,
}

/// Reads the arguments, does what they say, and gives the exit code.
#[must_use]
#[allow(clippy::needless_pass_by_value)] // `run(registry())` is what a `main` should say.
pub fn run(registry: Registry) -> ExitCode {
    let cli: Cli = parse();
    // What onerow and the driver have to say is printed from the progress and the error.
    arguments::init_tracing_at("error,onerow=off,sqlx=off");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return output::failed(&format!("error: cannot start the runtime: {error}")),
    };
    runtime.block_on(execute(&registry, &cli))
}

async fn execute(registry: &Registry, cli: &Cli) -> ExitCode {
    let output = Output::new(cli.format);
    let mut signals = Signals::default();
    let done = async {
        let db = Database::connect(cli.database.database_url.as_str()).await?;
        let done = dispatch(registry, &db, &cli.command, &output, &mut signals).await;
        // A pool that does not come to rest is closed by the exit.
        let _ = tokio::time::timeout(Duration::from_secs(5), db.disconnect()).await;
        done
    };
    let done = done.await;
    output.finish();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&error);
            ExitCode::from(signals.exit_code().unwrap_or(1))
        }
    }
}

async fn dispatch(
    registry: &Registry,
    db: &Database,
    command: &Command,
    output: &Output,
    signals: &mut Signals,
) -> Result<(), Error> {
    match command {
        Command::Up(args) => {
            let mut up = registry
                .up(db)
                .wait_timeout(Duration::from_secs(args.wait_timeout))
                .lock_timeout(Duration::from_secs(args.lock_timeout))
                .max_tries(args.max_tries)
                .on_progress(|step| output.progress(step))
                .cancel_on(signals.received());
            if let Some(version) = args.to {
                up = up.to(version);
            }
            output.report(&up.await?);
        }
        Command::Status => output.status(&registry.status(db).await?),
        Command::Version => output.version(registry.status(db).await?.version),
    }
    Ok(())
}
