//! Completions for shells, and manual pages. Both are made from the options themselves.

use std::path::Path;

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use super::{
    command_error::CommandError, commands::Cli, next_step::called_as, output::Output,
    streams::to_stdout,
};

/// The command line, with the name that the program was called by.
fn command() -> clap::Command {
    // clap keeps names as long as the program runs.
    let name: &'static str = called_as().leak();
    Cli::command().name(name).bin_name(name)
}

pub(super) fn completions(shell: Shell) {
    let mut command = command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    generate(shell, &mut command, name, &mut script);
    to_stdout(&String::from_utf8_lossy(&script).trim_end());
}

/// Writes a page for the program, and one for each of its commands.
pub(super) fn manual(dir: &Path, output: &Output) -> Result<(), CommandError> {
    let failed = |source| CommandError::Files {
        what: format!("the manual pages in {}", dir.display()),
        source,
    };
    std::fs::create_dir_all(dir).map_err(failed)?;
    clap_mangen::generate_to(command().disable_help_subcommand(true), dir).map_err(failed)?;
    output.written(dir);
    Ok(())
}
