//! Completions for shells, and manual pages, both made from the options themselves.

use std::{env, path::Path};

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use super::{
    commands::Cli,
    failure::Failure,
    output::{Output, to_stdout},
};

/// The command line, under the name that the program was called by.
fn command() -> clap::Command {
    let called = env::args_os().next().unwrap_or_default();
    let name =
        Path::new(&called).file_name().map_or("migration".into(), |name| name.to_string_lossy().into_owned());
    // clap keeps names for as long as the program runs.
    let name: &'static str = name.leak();
    Cli::command().name(name).bin_name(name)
}

pub(super) fn completions(shell: Shell) {
    let mut command = command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    generate(shell, &mut command, name, &mut script);
    to_stdout(&String::from_utf8_lossy(&script).trim_end());
}

/// Writes a page for the program and one for each of its commands.
pub(super) fn manual(dir: &Path, output: &Output) -> Result<(), Failure> {
    let failed = |source| Failure::Files { what: format!("the manual pages in {}", dir.display()), source };
    std::fs::create_dir_all(dir).map_err(failed)?;
    clap_mangen::generate_to(command().disable_help_subcommand(true), dir).map_err(failed)?;
    output.written(dir);
    Ok(())
}
