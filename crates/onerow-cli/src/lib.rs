//! The command line of a crate of migrations. Nothing else in onerow prints or exits.
//!
//! A migration crate's `main.rs` is one line:
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     onerow_cli::run(registry())
//! }
//! # fn registry() -> onerow::Registry { onerow::registry![] }
//! ```
//!
//! It runs on the database that `DATABASE_URL` or `--database-url` names. Only a program whose
//! `main` says so has a default: see [`run_with_default_database`].
//!
//! | module | holds |
//! |---|---|
//! | `commands` | the commands and their options |
//! | `arguments` | the arguments of every program on a database |
//! | `manage` | waiting for a database, creating it, dropping it |
//! | `streams` | stdout and stderr |
//! | `output`, `document` | results for people, and for machines |
//! | `notices` | the notices that the server sends meanwhile |
//! | `command_error` | why a command failed, and the exit code |
//! | `next_step` | what to type after an error |
//! | `signal` | Ctrl-C and SIGTERM |
//! | `shell` | completions and manual pages |
//! | `project` | the program `onerow`: a crate of migrations begun, and added to |
//!
//! | exit code | |
//! |---|---|
//! | 0 | done |
//! | 1 | failed |
//! | 2 | called wrongly |
//! | 3, 4, 5 | `check`: migrations are pending, the database is ahead, it cannot be reached |
//! | 130, 143 | stopped by Ctrl-C, by SIGTERM |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod arguments;
mod command_error;
mod commands;
mod document;
mod manage;
mod next_step;
mod notices;
mod output;
mod project;
mod shell;
mod signal;
mod streams;

use std::{process::ExitCode, sync::Arc, time::Duration};

pub use arguments::{DatabaseArgs, init_tracing, parse, parse_with_default_database};
pub use next_step::next_step;
pub use output::print_error;
pub use project::tool;

use command_error::CommandError;
use commands::{AdoptArgs, BaselineArgs, Cli, Command, Limits, TakingOver, Target, UpArgs};
use onerow::{Adoption, Database, Error, ErrorKind, Registry, Report, databases};
use output::Output;
use sea_orm::ConnectOptions;
use signal::Signals;

/// Reads the arguments, does what they say, and gives the exit code.
#[must_use]
#[allow(clippy::needless_pass_by_value)] // `run(registry())` is what a `main` should say.
pub fn run(registry: Registry) -> ExitCode {
    run_program(&registry, None)
}

/// As [`run`], with a default for the database. A `DATABASE_URL` that is set but empty is still
/// refused.
///
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     onerow_cli::run_with_default_database(registry(), "sqlite://database.sqlite?mode=rwc")
/// }
/// # fn registry() -> onerow::Registry { onerow::registry![] }
/// ```
#[must_use]
#[allow(clippy::needless_pass_by_value)] // As above.
pub fn run_with_default_database(registry: Registry, url: &'static str) -> ExitCode {
    run_program(&registry, Some(url))
}

fn run_program(registry: &Registry, default: Option<&'static str>) -> ExitCode {
    let (cli, _) = arguments::read::<Cli>(default);
    if let Command::New(args) = &cli.command {
        return project::new_migration(args, Some(registry.latest() + 1), cli.printing.format);
    }
    if cli.command.is_on_a_database() {
        arguments::refuse_empty(&cli.database.database_url);
        arguments::refuse_no_schema(cli.database.database_schema.as_ref());
    }
    next_step::this_is_the_program();
    let output = Arc::new(Output::new(&cli.printing));
    notices::init_tracing(&cli.printing, &output);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return output::failed(&format!("cannot start the runtime: {error}")),
    };
    runtime.block_on(execute(registry, &cli, &output))
}

async fn execute(registry: &Registry, cli: &Cli, output: &Arc<Output>) -> ExitCode {
    let mut signals = None;
    let done = command(registry, cli, output, &mut signals).await;
    output.finish();
    match done {
        Ok(()) => streams::printed(),
        Err(error) => {
            output::print_failure(cli.printing.format, &error);
            let stopped = signals.as_ref().and_then(Signals::exit_code);
            ExitCode::from(stopped.unwrap_or(error.exit_code()))
        }
    }
}

async fn command(
    registry: &Registry,
    cli: &Cli,
    output: &Arc<Output>,
    signals: &mut Option<Signals>,
) -> Result<(), CommandError> {
    let database = &cli.database;
    let url = database.database_url.as_str();
    if cli.command.is_on_a_database() {
        output.on(&databases::locate(url)?);
        if let Some(schemas) = &database.database_schema
            && !databases::set_search_path(&mut ConnectOptions::new(url), schemas)?
        {
            output.news(&"this database has no schemas, so --database-schema is ignored");
        }
    }
    if cli.command.stops_in_good_order() {
        *signals = Signals::listen(output).ok();
    }
    match &cli.command {
        Command::Up(args) => {
            if let Some(seconds) = args.wait_for_server {
                wait(url, seconds, output, signals.as_ref()).await?;
            }
            let UpArgs { target, limits, .. } = args;
            let report = up(registry, database, target, limits, output, signals.as_ref()).await?;
            output.report(&report, registry.latest());
        }
        Command::Status(args) => {
            let status = on(database, async |db| registry.status(db).await).await?;
            output.status(&status, args.all);
        }
        Command::Version => {
            output.version(on(database, async |db| registry.status(db).await).await?.version);
        }
        Command::Check => check(registry, database, output).await?,
        Command::Adopt(args) => {
            let adoption = until(
                signals.as_ref(),
                on(database, async |db| adopt(registry, db, args, output).await),
            )
            .await?;
            output.adopted(&adoption, registry.latest(), args.taking_over.dry_run);
        }
        Command::Baseline(args) => {
            let adoption = until(
                signals.as_ref(),
                on(database, async |db| baseline(registry, db, args, output).await),
            )
            .await?;
            output.adopted(&adoption, registry.latest(), args.taking_over.dry_run);
        }
        Command::Wait(args) => {
            let waited = wait(url, args.timeout, output, signals.as_ref()).await?;
            output.answered(&databases::locate(url)?, waited);
        }
        Command::Create => {
            let created = databases::create(url).await.map_err(CommandError::Managing)?;
            output.created(&databases::locate(url)?, created);
        }
        Command::Drop(args) => {
            let (location, dropped) = manage::drop(database, args).await?;
            output.dropped(&location, dropped);
        }
        Command::Reset(args) => {
            let location = manage::reset(database, args).await?;
            *signals = Signals::listen(output).ok();
            let (target, limits) = (Target::default(), &args.limits);
            let report = up(registry, database, &target, limits, output, signals.as_ref()).await;
            output.report(&report.map_err(|error| error.after_reset(location))?, registry.latest());
        }
        // It needs files only, and was done before the runtime was started.
        Command::New(_) => (),
        Command::Completions(args) => shell::completions(args.shell),
        Command::Man(args) => shell::manual(&args.dir, output)?,
    }
    Ok(())
}

/// Ends when a signal has come.
fn signal(signals: Option<&Signals>) -> impl Future<Output = ()> + Send + 'static {
    let received = signals.map(Signals::received);
    async {
        match received {
            Some(received) => received.await,
            None => std::future::pending().await,
        }
    }
}

/// Does this until a signal comes. A process has to handle its signals if it is the first of its
/// container: the kernel does not end it by one that it does not handle.
async fn until<T, E>(
    signals: Option<&Signals>,
    task: impl Future<Output = Result<T, E>>,
) -> Result<T, CommandError>
where
    CommandError: From<E>,
{
    tokio::select! {
        done = task => Ok(done?),
        () = signal(signals) => Err(CommandError::Stopped),
    }
}

async fn wait(
    url: &str,
    seconds: u64,
    output: &Output,
    signals: Option<&Signals>,
) -> Result<Duration, CommandError> {
    until(signals, manage::wait(url, Duration::from_secs(seconds), output)).await
}

async fn up(
    registry: &Registry,
    database: &DatabaseArgs,
    target: &Target,
    limits: &Limits,
    output: &Output,
    signals: Option<&Signals>,
) -> Result<Report, CommandError> {
    let db = until(signals, Database::connect(database.connect_options())).await?;
    let done = using(&db, async |db| {
        let mut up = registry
            .up(db)
            .wait_timeout(Duration::from_secs(limits.wait_timeout))
            .lock_timeout(Duration::from_secs(limits.lock_timeout))
            .max_tries(limits.max_tries)
            .on_progress(|step| output.progress(step))
            .cancel_on(signal(signals));
        if let Some(version) = target.to {
            up = up.to(version);
        }
        if let Some(migrations) = target.at_most {
            up = up.at_most(migrations);
        }
        if limits.server.on_unverified_engine {
            up = up.on_unverified_engine();
        }
        up.await
    });
    Ok(done.await?)
}

async fn adopt(
    registry: &Registry,
    db: &Database,
    args: &AdoptArgs,
    output: &Output,
) -> Result<Adoption, Error> {
    let TakingOver { dry_run, wait_timeout, ref server } = args.taking_over;
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
    if server.on_unverified_engine {
        adopt = adopt.on_unverified_engine();
    }
    if dry_run { adopt.dry_run().await } else { adopt.await }
}

async fn baseline(
    registry: &Registry,
    db: &Database,
    args: &BaselineArgs,
    output: &Output,
) -> Result<Adoption, Error> {
    let TakingOver { dry_run, wait_timeout, ref server } = args.taking_over;
    let mut baseline =
        registry.baseline(db, args.version).wait_timeout(Duration::from_secs(wait_timeout));
    baseline = baseline.on_progress(|step| output.progress(step));
    if args.beside_other_tools {
        baseline = baseline.beside_other_tools();
    }
    if server.on_unverified_engine {
        baseline = baseline.on_unverified_engine();
    }
    if dry_run { baseline.dry_run().await } else { baseline.await }
}

async fn check(
    registry: &Registry,
    database: &DatabaseArgs,
    output: &Output,
) -> Result<(), CommandError> {
    let status = match on(database, async |db| registry.status(db).await).await {
        Ok(status) => status,
        Err(error) if matches!(error.kind(), ErrorKind::ServerUnreachable | ErrorKind::Connect) => {
            return Err(CommandError::Unreachable(error));
        }
        Err(error) => return Err(error.into()),
    };
    output.checked(&status);
    if status.is_ahead() || status.is_pending() {
        return Err(CommandError::NotCurrent(status));
    }
    Ok(())
}

/// Does something with a pool that it opens and closes.
async fn on<T>(
    database: &DatabaseArgs,
    task: impl AsyncFnOnce(&Database) -> Result<T, Error>,
) -> Result<T, Error> {
    using(&Database::connect(database.connect_options()).await?, task).await
}

async fn using<T>(
    db: &Database,
    task: impl AsyncFnOnce(&Database) -> Result<T, Error>,
) -> Result<T, Error> {
    let done = task(db).await;
    // If the pool does not come to rest in time, the exit closes it.
    let _ = tokio::time::timeout(Duration::from_secs(5), db.disconnect()).await;
    done
}
