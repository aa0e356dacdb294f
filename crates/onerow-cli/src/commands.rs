//! The commands and their options. Each option has a variable in the environment, except those that
//! override a safety check: somebody who knows which database it is types them each time.

use std::path::PathBuf;

use clap::{
    ArgAction, Args, Parser, Subcommand,
    builder::{BoolishValueParser, PossibleValuesParser, TypedValueParser},
    value_parser,
};
use clap_complete::Shell;

use super::{arguments::DatabaseArgs, project::new::NewArgs, streams::Format};
use onerow::Tool;

/// Brings the schema of a database up to date
#[derive(Parser)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 called wrongly, 130 stopped by Ctrl-C, \
                  143 stopped by SIGTERM. Of check also 3 pending, 4 ahead, 5 unreachable.\n\
                  RUST_LOG, if it is set, says what is logged, instead of -v.",
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub(super) struct Cli {
    #[command(flatten, next_help_heading = "Options of every command")]
    pub(super) database: DatabaseArgs,

    #[command(flatten, next_help_heading = "Options of every command")]
    pub(super) printing: Printing,

    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Args)]
pub(super) struct Printing {
    /// Print results as text for people, or as one JSON object for programs
    #[arg(long, global = true, value_enum, default_value_t, env = "ONEROW_FORMAT")]
    pub(super) format: Format,

    /// Log what happens underneath; -vv logs the driver's statements too
    #[arg(long, short, global = true, action = ArgAction::Count, env = "ONEROW_VERBOSE")]
    pub(super) verbose: u8,

    /// Print only results and errors
    #[arg(long, short, global = true, env = "ONEROW_QUIET")]
    #[arg(value_parser = BoolishValueParser::new())]
    pub(super) quiet: bool,
}

#[derive(Subcommand)]
pub(super) enum Command {
    /// Apply the pending migrations, each once, in order
    Up(UpArgs),
    /// List the migrations and say whether each is applied; changes nothing
    Status(StatusArgs),
    /// Print the version of the database, -1 before the first migration; changes nothing
    Version,
    /// Compare the database's version with this build's, by the exit code; changes nothing
    Check,
    /// Take over a database that another tool has migrated so far
    Adopt(AdoptArgs),
    /// Record the current version of a database that no tool has migrated
    Baseline(BaselineArgs),
    /// Wait until the database's server answers
    Wait(WaitArgs),
    /// Create the database, unless it exists
    Create,
    /// Drop the database and all its data
    Drop(DropArgs),
    /// Drop the database, create it, and apply all migrations
    #[command(visible_alias = "fresh")]
    Reset(ResetArgs),
    /// Begin the next migration: a file with its test, and its place in the registry
    New(NewArgs),
    /// Print the script by which a shell completes this command line
    Completions(CompletionsArgs),
    /// Write the manual pages
    Man(ManArgs),
}

impl Command {
    pub(super) fn is_on_a_database(&self) -> bool {
        !matches!(self, Self::New(_) | Self::Completions(_) | Self::Man(_))
    }

    /// Whether a signal asks it to stop. `reset` listens later, when its migrations begin. A signal
    /// may simply end the others.
    pub(super) fn stops_in_good_order(&self) -> bool {
        matches!(self, Self::Up(_) | Self::Adopt(_) | Self::Baseline(_) | Self::Wait(_))
    }
}

#[derive(Args)]
pub(super) struct UpArgs {
    #[command(flatten)]
    pub(super) target: Target,

    /// First wait until the server answers, at most so many seconds
    #[arg(long, value_name = "SECONDS", env = "ONEROW_WAIT_FOR_SERVER")]
    #[arg(num_args = 0..=1, default_missing_value = "60")]
    pub(super) wait_for_server: Option<u64>,

    #[command(flatten)]
    pub(super) limits: Limits,
}

#[derive(Args, Default)]
pub(super) struct Target {
    /// Stop at this version instead of the last
    #[arg(long, value_name = "VERSION", allow_negative_numbers = true, env = "ONEROW_TO")]
    pub(super) to: Option<i32>,

    /// Apply at most so many migrations
    #[arg(long, short = 'n', alias = "num", value_name = "NUMBER", env = "ONEROW_AT_MOST")]
    #[arg(value_parser = value_parser!(u32).range(1..))]
    pub(super) at_most: Option<u32>,
}

#[derive(Args)]
pub(super) struct Limits {
    /// How many seconds to wait for another runner
    #[arg(long, value_name = "SECONDS", default_value_t = 600, env = "ONEROW_WAIT_TIMEOUT")]
    pub(super) wait_timeout: u64,

    /// How many seconds a migration may wait for a lock before it is rolled back and tried again;
    /// 0 waits for ever
    #[arg(long, value_name = "SECONDS", default_value_t = 5, env = "ONEROW_LOCK_TIMEOUT")]
    pub(super) lock_timeout: u64,

    /// How many times to try a migration that does not get a lock
    #[arg(long, value_name = "TRIES", default_value_t = 10, env = "ONEROW_MAX_TRIES")]
    #[arg(value_parser = value_parser!(u32).range(1..))]
    pub(super) max_tries: u32,

    #[command(flatten)]
    pub(super) server: ServerArgs,
}

#[derive(Args)]
pub(super) struct ServerArgs {
    /// Do it even if the server is not PostgreSQL, though it speaks its protocol
    #[arg(long)]
    pub(super) on_unverified_engine: bool,
}

#[derive(Args)]
pub(super) struct StatusArgs {
    /// List all migrations, however many there are
    #[arg(long, env = "ONEROW_ALL", value_parser = BoolishValueParser::new())]
    pub(super) all: bool,
}

#[derive(Args)]
pub(super) struct AdoptArgs {
    /// The tool, if several have left their tables: sea-orm-migration, sqlx, refinery, diesel or
    /// quart-db
    #[arg(long, value_name = "TOOL", env = "ONEROW_FROM")]
    #[arg(value_parser = tools(), hide_possible_values = true)]
    pub(super) from: Option<Tool>,

    /// The tool's table, NAME or SCHEMA.NAME, if it is not the tool's default
    #[arg(long, value_name = "NAME", env = "ONEROW_FROM_TABLE")]
    pub(super) from_table: Option<String>,

    /// Accept that migrations were applied in another order than the registry's
    #[arg(long)]
    pub(super) out_of_order: bool,

    /// Do nothing if no tool has left a table, as in a new database
    #[arg(long, env = "ONEROW_IF_ANY", value_parser = BoolishValueParser::new())]
    pub(super) if_any: bool,

    #[command(flatten)]
    pub(super) taking_over: TakingOver,
}

fn tools() -> impl TypedValueParser<Value = Tool> {
    let known = |name: String| Tool::ALL.into_iter().find(|tool| tool.name() == name);
    PossibleValuesParser::new(Tool::ALL.map(Tool::name)).map(move |name| {
        known(name).unwrap_or_else(|| unreachable!("clap takes the names of tools alone"))
    })
}

#[derive(Args)]
pub(super) struct BaselineArgs {
    /// The last migration whose changes the database already has
    #[arg(value_name = "VERSION", env = "ONEROW_BASELINE")]
    pub(super) version: i32,

    /// Do it even if another tool has left its table
    #[arg(long)]
    pub(super) beside_other_tools: bool,

    #[command(flatten)]
    pub(super) taking_over: TakingOver,
}

#[derive(Args)]
pub(super) struct TakingOver {
    /// Print what would be done, and change nothing
    #[arg(long, env = "ONEROW_DRY_RUN", value_parser = BoolishValueParser::new())]
    pub(super) dry_run: bool,

    /// How many seconds to wait for another runner
    #[arg(long, value_name = "SECONDS", default_value_t = 600, env = "ONEROW_WAIT_TIMEOUT")]
    pub(super) wait_timeout: u64,

    #[command(flatten)]
    pub(super) server: ServerArgs,
}

#[derive(Args)]
pub(super) struct WaitArgs {
    /// How many seconds to wait
    #[arg(long, value_name = "SECONDS", default_value_t = 60, env = "ONEROW_TIMEOUT")]
    pub(super) timeout: u64,
}

#[derive(Args)]
pub(super) struct DropArgs {
    /// Do not ask for the database's name
    #[arg(long)]
    pub(super) yes: bool,

    /// Do it even if the database is on another machine
    #[arg(long)]
    pub(super) force: bool,
}

#[derive(Args)]
pub(super) struct ResetArgs {
    #[command(flatten)]
    pub(super) drop: DropArgs,

    #[command(flatten)]
    pub(super) limits: Limits,
}

#[derive(Args)]
pub(super) struct CompletionsArgs {
    /// Which shell
    #[arg(env = "ONEROW_SHELL")]
    pub(super) shell: Shell,
}

#[derive(Args)]
pub(super) struct ManArgs {
    /// The directory to write them to
    #[arg(value_name = "DIR", env = "ONEROW_MAN_DIR")]
    pub(super) dir: PathBuf,
}
