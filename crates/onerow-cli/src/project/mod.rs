//! The program `onerow`: `init` starts a crate of migrations, `new` adds a migration to it.
//!
//! | module | holds |
//! |---|---|
//! | `init`, `new` | the commands |
//! | `summary`, `error` | what they print |
//! | `shown` | paths as a user would type them |
//! | `place` | where the project is, and what cargo says about it |
//! | `manifest`, `listing` | editing a `Cargo.toml`, and the `lib.rs` of a registry |
//! | `files` | writing all or nothing |
//! | `template` | the files of a new crate |

pub(super) mod error;
mod files;
mod init;
mod listing;
mod manifest;
pub(super) mod new;
mod place;
mod shown;
mod summary;
mod template;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::{error::ProjectError, init::InitArgs, new::NewArgs, summary::Summary};
use super::{
    output::print_failure,
    streams::{Format, printed},
};

/// Forward-only schema migrations: starts a crate of them, and adds to it
#[derive(Parser)]
#[command(
    name = "onerow",
    version,
    after_help = "Exit codes: 0 done, 1 failed, 2 called wrongly. A failure changes nothing.",
    subcommand_required = true,
    arg_required_else_help = true
)]
struct Program {
    /// How to print results
    #[arg(long, global = true, value_enum, default_value_t, env = "ONEROW_FORMAT")]
    format: Format,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write a crate of migrations into this cargo project
    Init(InitArgs),
    /// Begin the next migration: write its file, with a test, and add it to the registry
    New(NewArgs),
}

/// The whole program `onerow`: reads the arguments, runs the command, and returns the exit code.
#[must_use]
pub fn tool() -> ExitCode {
    let Program { format, command } = super::parse();
    match command {
        Command::Init(args) => finish(init::init(&args), format),
        Command::New(args) => new_migration(&args, None, format),
    }
}

/// Begins the next migration, and prints what was written or why nothing was. `compiled` is the
/// next number in the registry that the program was compiled with, if any.
pub(super) fn new_migration(args: &NewArgs, compiled: Option<i32>, format: Format) -> ExitCode {
    finish(new::new(args, compiled), format)
}

fn finish(done: Result<Summary, ProjectError>, format: Format) -> ExitCode {
    match done {
        Ok(summary) => {
            summary.print(format);
            printed()
        }
        Err(error) => {
            print_failure(format, &error.into());
            ExitCode::FAILURE
        }
    }
}
