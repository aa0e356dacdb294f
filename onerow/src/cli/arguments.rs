//! What every program on a database takes: which one, and where its environment comes from.

use std::{
    env,
    path::{Path, PathBuf},
};

use clap::{Arg, Args, Command, Parser, builder::Resettable, error::ErrorKind};
use tracing_subscriber::EnvFilter;

/// Which database: `#[command(flatten)]` it into a program's arguments, and read those with [`parse`].
///
/// Without `Debug`, since the URL may hold a password.
#[derive(Clone, Args)]
pub struct DatabaseArgs {
    /// The database's URL: postgres://user:password@host:5432/name or sqlite://file.sqlite?mode=rwc
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "DATABASE_URL",
        hide_env_values = true,
        default_value = "sqlite://database.sqlite?mode=rwc"
    )]
    pub database_url: String,

    /// A file of VARIABLE=value lines, for variables that the environment does not have
    #[arg(long, global = true, value_name = "FILE", env = "ONEROW_ENV_FILE")]
    pub env_file: Option<PathBuf>,
}

/// Parses the arguments, after the file that `--env-file` names has been read into the environment. Variables that are
/// set already stay as they are.
///
/// Call it first in `main`, before a second thread runs: it sets environment variables. A wrong argument, or a file that
/// cannot be read, ends the process with exit code 2 and a message.
#[must_use]
pub fn parse<P: Parser>() -> P {
    // The variables have to be there when clap looks for them, so the file's name is found by a parse of its own.
    let first = command::<P>().ignore_errors(true).try_get_matches();
    let file =
        first.ok().and_then(|matches| matches.try_get_one::<PathBuf>("env_file").ok().flatten().cloned());
    if let Some(file) = file
        && let Err(reason) = load(&file)
    {
        let message = format!("cannot read the environment file {}: {reason}\n", file.display());
        clap::Error::raw(ErrorKind::Io, message).exit();
    }
    let parsed = P::from_arg_matches(&command::<P>().get_matches());
    parsed.unwrap_or_else(|error| error.format(&mut command::<P>()).exit())
}

/// A variable that is empty counts as one that is not set: `docker compose` leaves such behind.
fn command<P: Parser>() -> Command {
    without_empty_variables(P::command())
}

fn without_empty_variables(command: Command) -> Command {
    let is_empty = |arg: &Arg| arg.get_env().and_then(env::var_os).is_some_and(|value| value.is_empty());
    let clear = |arg: Arg| if is_empty(&arg) { arg.env(Resettable::Reset) } else { arg };
    command.mut_args(clear).mut_subcommands(without_empty_variables)
}

fn load(file: &Path) -> Result<(), String> {
    dotenvy::from_path(file).map_err(|error| match error {
        dotenvy::Error::Io(error) => error.to_string(),
        // Its own text repeats the line, which may hold a password.
        dotenvy::Error::LineParse(..) => "a line is not of the form VARIABLE=value".into(),
        _ => "it does not parse".into(),
    })
}

/// Sends `tracing` events to stderr: `RUST_LOG` says which, by default `info` without the driver's statements.
pub fn init_tracing() {
    init_tracing_at("info,sqlx=warn");
}

pub(super) fn init_tracing_at(default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let colour = anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
    // An app that has set up its own keeps it.
    let _ = subscriber.with_ansi(colour).try_init();
}
