//! The arguments of every program on a database: which database, and the files of its environment.

use std::{
    env, fmt,
    path::{Path, PathBuf},
};

use clap::{
    Arg, ArgMatches, Args, Command, Parser,
    builder::Resettable,
    error::{ContextKind, ContextValue, ErrorKind},
};
use onerow::databases;
use sea_orm::ConnectOptions;
use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer, layer::SubscriberExt, registry::LookupSpan, util::SubscriberInitExt,
};

const URL: &str = "database_url";
const URL_VARIABLE: &str = "DATABASE_URL";
const SCHEMA: &str = "database_schema";
const SCHEMA_VARIABLE: &str = "DATABASE_SCHEMA";

/// Which database: `#[command(flatten)]` it into a program's arguments, read those with [`parse`],
/// and connect with [`connect_options`](Self::connect_options).
///
/// It takes the short options `-u` and `-s`, as sea-orm-cli does.
#[derive(Clone, Args)]
pub struct DatabaseArgs {
    /// The database's URL: postgres://user:password@host:5432/name or sqlite://file.sqlite?mode=rwc
    // A global argument cannot be a required one. An empty URL is none, and `parse` refuses it.
    #[arg(
        long,
        short = 'u',
        global = true,
        value_name = "URL",
        env = URL_VARIABLE,
        hide_env_values = true,
        default_value = "",
        hide_default_value = true
    )]
    pub database_url: String,

    /// The schema of PostgreSQL to work in, or several with commas, instead of the search path
    #[arg(long, short = 's', global = true, value_name = "SCHEMA", env = SCHEMA_VARIABLE)]
    // Somebody may have put the URL there.
    #[arg(hide_env_values = true)]
    pub database_schema: Option<String>,

    /// A file of VARIABLE=value lines, for variables that the environment does not have
    #[arg(long, global = true, value_name = "FILE", env = "ONEROW_ENV_FILE")]
    pub env_file: Option<PathBuf>,
}

impl DatabaseArgs {
    /// The options of a pool on this database and in this schema.
    #[must_use]
    pub fn connect_options(&self) -> ConnectOptions {
        let mut options = ConnectOptions::new(&self.database_url);
        if let Some(schemas) = &self.database_schema {
            // A URL that does not parse is the error of whoever connects.
            let _ = databases::set_search_path(&mut options, schemas);
        }
        options
    }
}

impl fmt::Debug for DatabaseArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a password.
        f.debug_struct("DatabaseArgs").field("env_file", &self.env_file).finish_non_exhaustive()
    }
}

/// Parses the arguments. First it reads two files into the environment: the one that `--env-file`
/// names, and `.env` in the working directory or the nearest one above it. Variables that are set
/// already stay as they are.
///
/// Call it first in `main`, before a second thread runs: it sets environment variables. If an
/// argument is wrong, the database's URL is missing, or a file cannot be read, it ends the process
/// with exit code 2 and a message.
#[must_use]
pub fn parse<P: Parser>() -> P {
    parse_on_a_database(None)
}

/// As [`parse`], with a default for the database. A `DATABASE_URL` that is set but empty is still
/// refused.
#[must_use]
pub fn parse_with_default_database<P: Parser>(url: &'static str) -> P {
    parse_on_a_database(Some(url))
}

fn parse_on_a_database<P: Parser>(default: Option<&'static str>) -> P {
    let (program, matches) = read(default);
    // Not every program takes one.
    if let Ok(Some(url)) = matches.try_get_one::<String>(URL) {
        refuse_empty(url);
        refuse_no_schema(matches.try_get_one::<String>(SCHEMA).ok().flatten());
    }
    program
}

/// Parses the arguments. The database's URL may be empty.
pub(super) fn read<P: Parser>(default: Option<&'static str>) -> (P, ArgMatches) {
    load_files::<P>();
    let command = || with_default(without_empty_variables(P::command()), default);
    let matches = command().try_get_matches().unwrap_or_else(|error| refuse(&error));
    let program = P::from_arg_matches(&matches);
    (program.unwrap_or_else(|error| error.format(&mut command()).exit()), matches)
}

/// Ends the process with clap's error. For a command of sea-orm-cli that takes migrations back, it
/// says what to do instead.
fn refuse(error: &clap::Error) -> ! {
    if error.kind() == ErrorKind::InvalidSubcommand
        && let Some(ContextValue::String(command)) = error.get(ContextKind::InvalidSubcommand)
        && ["down", "refresh"].contains(&command.as_str())
    {
        wrong_call(&format!(
            "migrations only go forward, so there is no {command}; nothing was changed\n  mend a \
             mistake with a new migration, by the command new; or begin a development database \
             anew, by the command reset"
        ));
    }
    error.exit()
}

/// Ends the process if no database is named.
pub(super) fn refuse_empty(url: &str) {
    if !url.trim().is_empty() {
        return;
    }
    let what = match env::var(URL_VARIABLE) {
        Ok(url) if url.trim().is_empty() => "DATABASE_URL is set, but it is empty",
        Err(env::VarError::NotPresent) => "no database is named, and DATABASE_URL is not set",
        _ => "--database-url is empty",
    };
    wrong_call(&format!(
        "{what}; nothing was changed\n  set it, here or in a file .env, or give --database-url: \
         postgres://user:password@host:5432/name or sqlite://file.sqlite?mode=rwc"
    ));
}

/// Ends the process if a schema has no name, or is something else by mistake. That is not repeated:
/// it may hold a password.
pub(super) fn refuse_no_schema(schemas: Option<&String>) {
    let Some(schemas) = schemas else { return };
    if schemas.contains("://") || schemas.split(',').any(|schema| schema.trim().is_empty()) {
        wrong_call(&format!(
            "--database-schema or {SCHEMA_VARIABLE} is not the name of a schema, nor several with \
             commas between them; nothing was changed"
        ));
    }
}

fn wrong_call(message: &str) -> ! {
    clap::Error::raw(ErrorKind::MissingRequiredArgument, format!("{message}\n")).exit()
}

fn with_default(command: Command, default: Option<&'static str>) -> Command {
    let Some(default) = default else { return command };
    command.mut_arg(URL, |arg| arg.default_value(default).hide_default_value(false))
}

/// An empty variable counts as one that is not set, because `docker compose` sets such variables.
/// An empty `DATABASE_URL` does not: a value was meant to be there, and the default could be the
/// wrong database.
fn without_empty_variables(command: Command) -> Command {
    let is_empty =
        |arg: &Arg| arg.get_env().and_then(env::var_os).is_some_and(|value| value.is_empty());
    let clear = |arg: Arg| {
        if arg.get_id() != URL && is_empty(&arg) { arg.env(Resettable::Reset) } else { arg }
    };
    command.mut_args(clear).mut_subcommands(without_empty_variables)
}

/// Reads the environment files, if the program is one on a database.
fn load_files<P: Parser>() {
    let command = without_empty_variables(P::command());
    if !command.get_arguments().any(|arg| arg.get_id() == URL) {
        return;
    }
    // clap reads the variables while it parses, so an earlier parse finds the file's name.
    let first = command.ignore_errors(true).try_get_matches();
    let named = first
        .ok()
        .and_then(|matches| matches.try_get_one::<PathBuf>("env_file").ok().flatten().cloned());
    for file in named.into_iter().chain(dot_env()) {
        if let Err(reason) = load(&file) {
            wrong_call(&format!("cannot read the environment file {}: {reason}", file.display()));
        }
    }
}

/// The `.env` that other tools would find: here or in the nearest directory above.
fn dot_env() -> Option<PathBuf> {
    let here = env::current_dir().ok()?;
    here.ancestors().map(|dir| dir.join(".env")).find(|file| file.is_file())
}

fn load(file: &Path) -> Result<(), String> {
    dotenvy::from_path(file).map_err(|error| match error {
        dotenvy::Error::Io(error) => error.to_string(),
        // Its own text repeats the line, which may hold a password.
        dotenvy::Error::LineParse(..) => "a line is not of the form VARIABLE=value".into(),
        _ => "it does not parse".into(),
    })
}

/// Sends `tracing` events to stderr. `RUST_LOG` says which; the default is `info`, without the
/// driver's statements.
pub fn init_tracing() {
    // An app that has a subscriber of its own keeps it.
    let _ = tracing_subscriber::registry().with(log("info,sqlx=warn")).try_init();
}

/// Prints the events that `RUST_LOG` names to stderr.
pub(super) fn log<S>(default: &str) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let colour = anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
    tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(colour)
        .with_filter(filter)
}
