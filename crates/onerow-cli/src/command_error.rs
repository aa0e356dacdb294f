//! Why a command ended without being done, and the exit code that says so.

use std::time::Duration;

use super::{
    next_step::{next_step, with_program},
    project::error::ProjectError,
};
use onerow::{Error, ErrorKind, Status, module_name};

/// Ends the process with another exit code than 0.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    #[error(transparent)]
    Error(#[from] Error),
    /// `init` or `new` refused, or could not write.
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// A signal came while the command was connecting, waiting or adopting.
    #[error("stopped as told, before it was done")]
    Stopped,
    /// A whole database could not be created or dropped.
    #[error(transparent)]
    Managing(Error),
    #[error("no right to create a database, so {location} was not dropped; nothing was changed")]
    MayNotCreate { location: String },
    /// `reset` came half way.
    #[error("{location} was dropped, and could not be created again")]
    Gone { location: String, source: Box<Error> },
    /// `reset` came further than that, and no migration was tried.
    #[error("{location} was dropped and created anew, and could not be migrated")]
    Emptied { location: String, source: Box<Error> },
    /// `wait` or `up --wait-for-server` gave up.
    #[error("waited {} s for {location}", .waited.as_secs())]
    NoAnswer { location: String, waited: Duration, last: LastTry },
    /// `check` found the database at another version than this build's. The result says so already.
    #[error("the database is not at this build's version")]
    NotCurrent(Status),
    /// `check` could not ask the database.
    #[error(transparent)]
    Unreachable(Error),
    #[error(
        "{location} is not on this machine, and drop and reset are for development databases; \
         nothing was changed"
    )]
    NotLocal { location: String },
    #[error(
        "{location} is dropped only if its name is typed, and there is no terminal to type on; \
         nothing was changed"
    )]
    NoTerminal { location: String },
    #[error("that is not its name; nothing was changed")]
    NotConfirmed,
    #[error(
        "{location} would be dropped with all its schemas, and DATABASE_SCHEMA or \
         --database-schema names one; nothing was changed"
    )]
    OneSchema { location: String },
    /// A second signal came.
    #[error("ended at once{}; {}", while_running(*.running), told_as_applied(*.applied))]
    EndedAtOnce { running: Option<i32>, applied: Option<(i32, i32)>, exit_code: u8 },
    #[error("cannot write {what}")]
    Files { what: String, source: std::io::Error },
}

/// How the last try to reach a server went.
#[derive(Debug)]
pub(super) enum LastTry {
    Refused(Box<Error>),
    Silent { seconds: u64 },
}

impl CommandError {
    /// The error of the `up` in a `reset`. If it knows no version, it says "nothing was changed".
    pub(super) fn after_reset(self, location: String) -> Self {
        match self {
            Self::Error(source) if source.version().is_none() => {
                Self::Emptied { location, source: source.into() }
            }
            other => other,
        }
    }

    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::NoTerminal { .. } | Self::OneSchema { .. } => 2,
            Self::NotCurrent(status) if status.is_ahead() => 4,
            Self::NotCurrent(_) => 3,
            Self::Unreachable(_) => 5,
            Self::EndedAtOnce { exit_code, .. } => *exit_code,
            _ => 1,
        }
    }

    /// Its name for machines.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Error(error) | Self::Unreachable(error) | Self::Managing(error) => {
                error.kind().as_str()
            }
            Self::Stopped => "cancelled",
            Self::MayNotCreate { .. } => "permission_denied",
            Self::Gone { .. } => "not_created",
            Self::NoAnswer { .. } => "server_unreachable",
            Self::Project(_) => "project",
            Self::NotCurrent(_) => "not_current",
            Self::NotLocal { .. } => "not_local",
            Self::NoTerminal { .. } => "no_terminal",
            Self::NotConfirmed => "not_confirmed",
            Self::OneSchema { .. } => "one_schema",
            Self::Emptied { .. } => "not_migrated",
            Self::EndedAtOnce { .. } => "ended_at_once",
            Self::Files { .. } => "files",
        }
    }

    pub(super) fn next_step(&self) -> String {
        let step = match self {
            Self::Managing(error) => return after_managing(error),
            Self::Error(error) | Self::Unreachable(error) => return next_step(error),
            Self::NoAnswer { last: LastTry::Refused(error), .. } => return next_step(error),
            Self::Project(error) => return error.next_step(),
            Self::NoAnswer { .. } => "check host and port, and that the server runs",
            Self::Stopped => "to go on, type the command again",
            Self::MayNotCreate { .. } => AS_OWNER,
            Self::Gone { .. } => {
                "fix what the cause says, then run: {program} create, then {program} up"
            }
            Self::NotCurrent(_) => "",
            Self::NotLocal { .. } => "if it is meant: --force",
            Self::NoTerminal { .. } => "to drop it without being asked: --yes",
            Self::NotConfirmed => "try again, and type the name as it is shown",
            Self::OneSchema { .. } => {
                "if it is meant, leave the schema out (DATABASE_SCHEMA= as a variable); \
                 if not: DROP SCHEMA … CASCADE, then {program} up"
            }
            Self::Emptied { source, .. } => return next_step(source),
            Self::EndedAtOnce { .. } => "to see where the database is: {program} status",
            Self::Files { .. } => "fix what the cause says, or name another place",
        };
        with_program(step)
    }

    /// The causes, outermost first.
    pub(super) fn causes(&self) -> Vec<String> {
        match self {
            Self::Error(error) | Self::Unreachable(error) | Self::Managing(error) => error.causes(),
            Self::Gone { source, .. } | Self::Emptied { source, .. } => with_causes(source),
            Self::NoAnswer { last: LastTry::Refused(error), .. } => with_causes(error),
            Self::NoAnswer { location, last: LastTry::Silent { seconds }, .. } => vec![
                format!("no server answers at {location}"),
                format!("nothing came back within {seconds} s"),
            ],
            Self::Project(error) => error.causes(),
            Self::Files { source, .. } => vec![source.to_string()],
            _ => Vec::new(),
        }
    }

    /// The version of the database, if it is known.
    pub(super) fn version(&self) -> Option<i32> {
        match self {
            Self::Error(error) | Self::Unreachable(error) => error.version(),
            Self::NotCurrent(status) => Some(status.version),
            _ => None,
        }
    }
}

const AS_OWNER: &str = "do it as a user with the right CREATEDB who owns the database";

fn after_managing(error: &Error) -> String {
    match error.kind() {
        ErrorKind::PermissionDenied => AS_OWNER.into(),
        ErrorKind::Database | ErrorKind::Connect => "fix what the cause says, and try again".into(),
        _ => next_step(error),
    }
}

fn with_causes(error: &Error) -> Vec<String> {
    [error.to_string()].into_iter().chain(error.causes()).collect()
}

fn while_running(version: Option<i32>) -> String {
    version
        .map(|version| format!(", while {} was running", module_name(version)))
        .unwrap_or_default()
}

fn told_as_applied(applied: Option<(i32, i32)>) -> String {
    match applied {
        None => "this run has applied nothing".into(),
        Some((first, last)) if first == last => {
            format!("this run has applied {}", module_name(first))
        }
        Some((first, last)) => {
            format!("this run has applied {} to {}", module_name(first), module_name(last))
        }
    }
}
