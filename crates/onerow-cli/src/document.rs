//! The JSON object that each command prints with `--format json`. `docs/cli.md` documents them:
//! fields are added, never renamed.

use std::time::Duration;

use serde::Serialize;

use super::command_error::CommandError;
use onerow::{Adoption, Report, Status, module_name};

#[derive(Serialize)]
pub(super) struct Run<'a> {
    initial: i32,
    version: i32,
    latest: i32,
    applied: Vec<Applied<'a>>,
}

#[derive(Serialize)]
struct Applied<'a> {
    version: i32,
    name: String,
    description: &'a str,
    seconds: f64,
}

impl<'a> Run<'a> {
    pub(super) fn of(report: &'a Report, latest: i32) -> Self {
        let applied = report.applied.iter().map(|applied| Applied {
            version: applied.version,
            name: applied.name(),
            description: &applied.description,
            seconds: seconds(applied.elapsed),
        });
        let Report { initial, version, .. } = *report;
        Self { initial, version, latest, applied: applied.collect() }
    }
}

/// The result of `status`, with the migrations, and of `check`, without them.
#[derive(Serialize)]
pub(super) struct Standing<'a> {
    state: &'static str,
    version: i32,
    latest: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    migrations: Option<Vec<Migration<'a>>>,
}

#[derive(Serialize)]
struct Migration<'a> {
    version: i32,
    name: String,
    description: &'a str,
    applied: bool,
}

impl<'a> Standing<'a> {
    pub(super) fn of(status: &'a Status) -> Self {
        let state = match status {
            status if status.is_ahead() => "ahead",
            status if status.is_pending() => "pending",
            _ => "current",
        };
        Self { state, version: status.version, latest: status.latest, migrations: None }
    }

    pub(super) fn with_migrations(status: &'a Status) -> Self {
        let migrations = status.migrations.iter().map(|found| Migration {
            version: found.version,
            name: module_name(found.version),
            description: &found.description,
            applied: found.applied,
        });
        Self { migrations: Some(migrations.collect()), ..Self::of(status) }
    }
}

#[derive(Serialize)]
pub(super) struct Version {
    pub(super) version: i32,
}

#[derive(Serialize)]
pub(super) struct TakenOver<'a> {
    tool: Option<String>,
    table: Option<&'a str>,
    initial: i32,
    version: i32,
    latest: i32,
    dry_run: bool,
    adopted: Vec<AdoptedMigration<'a>>,
    warnings: Vec<Warning>,
}

#[derive(Serialize)]
struct Warning {
    kind: &'static str,
    message: String,
}

#[derive(Serialize)]
struct AdoptedMigration<'a> {
    version: i32,
    name: String,
    description: &'a str,
    replaces: &'a [String],
}

impl<'a> TakenOver<'a> {
    pub(super) fn of(adoption: &'a Adoption, latest: i32, dry_run: bool) -> Self {
        let adopted = adoption.adopted.iter().map(|adopted| AdoptedMigration {
            version: adopted.version,
            name: adopted.name(),
            description: &adopted.description,
            replaces: &adopted.replaces,
        });
        let warnings = adoption.warnings.iter();
        let warnings =
            warnings.map(|warning| Warning { kind: warning.kind(), message: warning.to_string() });
        Self {
            tool: adoption.tool.as_ref().map(|(tool, _)| tool.to_string()),
            table: adoption.tool.as_ref().map(|(_, table)| table.as_str()),
            initial: adoption.initial,
            version: adoption.version,
            latest,
            dry_run,
            adopted: adopted.collect(),
            warnings: warnings.collect(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct Answered {
    pub(super) database: String,
    pub(super) waited_seconds: f64,
}

#[derive(Serialize)]
pub(super) struct Created {
    pub(super) database: String,
    pub(super) created: bool,
}

#[derive(Serialize)]
pub(super) struct Dropped {
    pub(super) database: String,
    pub(super) dropped: bool,
}

#[derive(Serialize)]
pub(super) struct Written {
    pub(super) directory: String,
}

/// On stderr, if a command failed.
#[derive(Serialize)]
pub(super) struct Failed {
    error: ErrorDocument,
}

#[derive(Serialize)]
struct ErrorDocument {
    kind: &'static str,
    message: String,
    causes: Vec<String>,
    version: Option<i32>,
    next_step: String,
    exit_code: u8,
}

impl From<&CommandError> for Failed {
    fn from(error: &CommandError) -> Self {
        Self {
            error: ErrorDocument {
                kind: error.kind(),
                message: error.to_string(),
                causes: error.causes(),
                version: error.version(),
                next_step: error.next_step(),
                exit_code: error.exit_code(),
            },
        }
    }
}

/// To the millisecond; smaller digits are noise.
pub(super) fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}
