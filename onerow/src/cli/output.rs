//! Results on stdout, progress and errors on stderr.

use std::{fmt::Display, io::Write, process::ExitCode, time::Duration};

use clap::ValueEnum;
use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::{Error, Progress, Report, Status, migration};

/// How to print results.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    #[default]
    Text,
    /// For machines: one JSON value
    Json,
}

pub(super) struct Output {
    format: Format,
    /// Draws on a terminal only.
    bar: ProgressBar,
}

impl Output {
    pub(super) fn new(format: Format) -> Self {
        let style = ProgressStyle::with_template("{spinner} {wide_msg} {pos}/{len}");
        let bar = ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        Self { format, bar }
    }

    pub(super) fn progress(&self, step: &Progress) {
        match step {
            Progress::Started { version, target, .. } => {
                self.bar.set_length(u64::try_from(target + 1).unwrap_or(0));
                self.bar.set_position(u64::try_from(*version).unwrap_or(0));
                self.bar.set_message(step.to_string());
                self.bar.enable_steady_tick(Duration::from_millis(100));
            }
            // On stdout at once, not with the report: what is committed stays so if a later one fails.
            Progress::Applied(_) => self.text(step),
            Progress::Running { .. } if !self.bar.is_hidden() => self.bar.set_message(step.to_string()),
            _ if step.is_news() => self.bar.suspend(|| to_stderr(step)),
            _ => (),
        }
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    pub(super) fn report(&self, report: &Report) {
        self.json(report);
        if report.applied.is_empty() {
            self.text(&format!("nothing to do: the database is at version {}", report.version));
        } else {
            self.text(&format!("from version {} to version {}", report.initial, report.version));
        }
    }

    pub(super) fn status(&self, status: &Status) {
        self.json(status);
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(["migration", "state", "description"]);
        for migration in &status.migrations {
            let state = if migration.applied { "applied" } else { "pending" };
            table.add_row([&migration.name(), state, &migration.description]);
        }
        self.text(&table.trim_fmt());
        self.text(&summary(status));
    }

    pub(super) fn version(&self, version: i32) {
        self.json(&version);
        self.text(&version);
    }

    fn text(&self, line: &dyn Display) {
        if self.format == Format::Text {
            self.bar.suspend(|| to_stdout(line));
        }
    }

    fn json(&self, value: &impl Serialize) {
        if self.format == Format::Json {
            let json = serde_json::to_string_pretty(value);
            self.bar.suspend(|| to_stdout(&json.unwrap_or_default()));
        }
    }
}

fn summary(status: &Status) -> String {
    let Status { version, latest, .. } = status;
    if status.is_ahead() {
        format!("the database is at version {version}, ahead of this build, whose last migration is {latest}")
    } else if status.is_pending() {
        let next = migration::name(version + 1);
        format!("the database is at version {version}; {} pending, the next is {next}", latest - version)
    } else {
        format!("the database is at version {version}, up to date")
    }
}

/// Prints an error with its causes and the next step to stderr.
pub fn print_error(error: &Error) {
    to_stderr(&error.explain());
}

pub(super) fn failed(message: &str) -> ExitCode {
    to_stderr(&message);
    ExitCode::FAILURE
}

// Not `println!`, which panics when the reader, a `head` say, has gone.
fn to_stdout(line: &dyn Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn to_stderr(line: &dyn Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
