//! The two streams: results go to stdout, everything else to stderr.

use std::{
    fmt::Display,
    io::{self, Write},
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
};

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;

/// How to print results.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    // They have no doc comments: with a text for each value, clap's help would fill three screens.
    #[default]
    Text,
    Json,
}

pub(super) const ERROR: Style = AnsiColor::Red.on_default().bold();

/// Whether a result could not be written to standard output, say because a disk is full.
static LOST: AtomicBool = AtomicBool::new(false);

/// The exit code of a command that was done, if its result could be printed.
pub(super) fn printed() -> ExitCode {
    if LOST.load(Ordering::Relaxed) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

// `println!` would panic when the reader has gone, say `head`. That is no failure: it has read
// enough.
pub(super) fn to_stdout(line: &dyn Display) {
    match writeln!(anstream::stdout(), "{line}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            to_stderr(&format!("{ERROR}error:{ERROR:#} the result cannot be printed: {error}"));
            LOST.store(true, Ordering::Relaxed);
        }
        _ => (),
    }
}

pub(super) fn to_stderr(line: &dyn Display) {
    let _ = writeln!(anstream::stderr(), "{line}");
}
