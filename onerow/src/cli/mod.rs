//! The command line over the public API. The only place that prints or exits.
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
//! | module | holds |
//! |---|---|
//! | `commands` | the commands and their options |
//! | `arguments` | what every program on a database takes |
//! | `manage` | waiting for a database, creating it, dropping it |
//! | `output`, `document` | results for people, and for machines |
//! | `failure` | what went wrong, and its exit code |
//! | `signal` | Ctrl-C and SIGTERM |
//! | `shell` | completions and manual pages |
//! | `project` | the program `onerow`: a crate of migrations begun, and added to |
//!
//! It exits with 0 when done, 1 when it failed, 2 when it was called wrongly, and 130 or 143 when Ctrl-C or SIGTERM
//! stopped it; `check` also with 3 when migrations are pending, 4 when the database is ahead of the build, and 5 when it
//! cannot be reached.

mod arguments;
mod commands;
mod document;
mod failure;
mod manage;
mod output;
mod project;
mod shell;
mod signal;

use std::{process::ExitCode, time::Duration};

pub use arguments::{DatabaseArgs, init_tracing, parse};
pub use output::print_error;
pub use project::tool;

use crate::{Adoption, Database, Error, Registry, Report, backend::databases};
use commands::{AdoptArgs, BaselineArgs, Cli, Command, Limits, TakingOver};
use failure::Failure;
use output::Output;
use signal::Signals;

/// Reads the arguments, does what they say, and gives the exit code.
#[must_use]
#[allow(clippy::needless_pass_by_value)] // `run(registry())` is what a `main` should say.
pub fn run(registry: Registry) -> ExitCode {
    let cli: Cli = parse();
    if let Command::New(args) = &cli.command {
        return project::new_migration(args, Some(registry.latest() + 1), cli.printing.format);
    }
    arguments::init_tracing_at(cli.printing.log());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return output::failed(&format!("cannot start the runtime: {error}")),
    };
    runtime.block_on(execute(&registry, &cli))
}

async fn execute(registry: &Registry, cli: &Cli) -> ExitCode {
    let output = Output::new(&cli.printing);
    let mut signals = Signals::default();
    let done = command(registry, cli, &output, &mut signals).await;
    output.finish();
    match done {
        Ok(()) => output::printed(),
        Err(failure) => {
            output::print_failure(cli.printing.format, &failure);
            ExitCode::from(signals.exit_code().unwrap_or(failure.exit_code()))
        }
    }
}

async fn command(
    registry: &Registry,
    cli: &Cli,
    output: &Output,
    signals: &mut Signals,
) -> Result<(), Failure> {
    let url = cli.database.database_url.as_str();
    match &cli.command {
        Command::Up(args) => {
            if let Some(seconds) = args.wait_for_server {
                wait(url, seconds, output, signals).await?;
            }
            output.report(&up(registry, url, &args.limits, args.to, output, signals).await?);
        }
        Command::Status(args) => {
            let status = on(url, async |db| registry.status(db).await).await?;
            output.status(&status, args.all);
        }
        Command::Version => output.version(on(url, async |db| registry.status(db).await).await?.version),
        Command::Check => check(registry, url, output).await?,
        Command::Adopt(args) => {
            let adoption =
                until(signals, on(url, async |db| adopt(registry, db, args, output).await)).await?;
            output.adopted(&adoption, registry.latest(), args.taking_over.dry_run);
        }
        Command::Baseline(args) => {
            let adoption =
                until(signals, on(url, async |db| baseline(registry, db, args, output).await)).await?;
            output.adopted(&adoption, registry.latest(), args.taking_over.dry_run);
        }
        Command::Wait(args) => {
            let waited = wait(url, args.timeout, output, signals).await?;
            output.answered(&databases::locate(url)?, waited);
        }
        Command::Create => {
            let created = databases::create(url).await.map_err(Failure::Managing)?;
            output.created(&databases::locate(url)?, created);
        }
        Command::Drop(args) => {
            let (location, dropped) = manage::drop(url, args).await?;
            output.dropped(&location, dropped);
        }
        Command::Reset(args) => {
            manage::reset(url, &args.drop).await?;
            output.report(&up(registry, url, &args.limits, None, output, signals).await?);
        }
        // Of files alone: done before there is a runtime.
        Command::New(_) => (),
        Command::Completions(args) => shell::completions(args.shell),
        Command::Man(args) => shell::manual(&args.dir, output)?,
    }
    Ok(())
}

/// Does this, or what a signal says: a process that is the first of a container is not ended by one that it does not handle.
async fn until<T, E>(signals: &mut Signals, task: impl Future<Output = Result<T, E>>) -> Result<T, Failure>
where
    Failure: From<E>,
{
    tokio::select! {
        done = task => Ok(done?),
        () = signals.received() => Err(Error::Cancelled { version: None }.into()),
    }
}

async fn wait(url: &str, seconds: u64, output: &Output, signals: &mut Signals) -> Result<Duration, Failure> {
    until(signals, manage::wait(url, Duration::from_secs(seconds), output)).await
}

async fn up(
    registry: &Registry,
    url: &str,
    limits: &Limits,
    to: Option<i32>,
    output: &Output,
    signals: &mut Signals,
) -> Result<Report, Error> {
    on(url, async |db| {
        let mut up = registry
            .up(db)
            .wait_timeout(Duration::from_secs(limits.wait_timeout))
            .lock_timeout(Duration::from_secs(limits.lock_timeout))
            .max_tries(limits.max_tries)
            .on_progress(|step| output.progress(step))
            .cancel_on(signals.received());
        if let Some(version) = to {
            up = up.to(version);
        }
        up.await
    })
    .await
}

async fn adopt(
    registry: &Registry,
    db: &Database,
    args: &AdoptArgs,
    output: &Output,
) -> Result<Adoption, Error> {
    let TakingOver { dry_run, wait_timeout } = args.taking_over;
    let mut adopt = registry.adopt(db).wait_timeout(Duration::from_secs(wait_timeout));
    adopt = adopt.on_progress(|step| output.progress(step));
    if let Some(tool) = args.from {
        adopt = adopt.from(tool);
    }
    if let Some(table) = &args.from_table {
        adopt = adopt.from_table(table);
    }
    if args.if_any {
        adopt = adopt.if_any();
    }
    if args.out_of_order {
        adopt = adopt.out_of_order();
    }
    if dry_run { adopt.dry_run().await } else { adopt.await }
}

async fn baseline(
    registry: &Registry,
    db: &Database,
    args: &BaselineArgs,
    output: &Output,
) -> Result<Adoption, Error> {
    let TakingOver { dry_run, wait_timeout } = args.taking_over;
    let mut baseline = registry.baseline(db, args.version).wait_timeout(Duration::from_secs(wait_timeout));
    baseline = baseline.on_progress(|step| output.progress(step));
    if args.beside_other_tools {
        baseline = baseline.beside_other_tools();
    }
    if dry_run { baseline.dry_run().await } else { baseline.await }
}

async fn check(registry: &Registry, url: &str, output: &Output) -> Result<(), Failure> {
    let status = match on(url, async |db| registry.status(db).await).await {
        Ok(status) => status,
        Err(error @ (Error::ServerUnreachable { .. } | Error::Connect { .. })) => {
            return Err(Failure::Unreachable(error));
        }
        Err(error) => return Err(error.into()),
    };
    output.checked(&status);
    if status.is_ahead() || status.is_pending() {
        return Err(Failure::NotCurrent(status));
    }
    Ok(())
}

/// Does something on a pool, which it opens and closes.
async fn on<T>(url: &str, task: impl AsyncFnOnce(&Database) -> Result<T, Error>) -> Result<T, Error> {
    let db = Database::connect(url).await?;
    let done = task(&db).await;
    // A pool that does not come to rest is closed by the exit.
    let _ = tokio::time::timeout(Duration::from_secs(5), db.disconnect()).await;
    done
}
