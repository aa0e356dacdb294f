//! What a run tells while it goes on, to `tracing` and to whoever asked.

use std::{fmt, time::Duration};

use crate::{backend::watching::ServerSession, migration};

/// The target of every event, whichever module it stands in.
const TARGET: &str = "onerow";

/// A migration that a run applied.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// The version that it took the database to.
    pub version: i32,
    /// Its [`description`](crate::MigrationTrait::description).
    pub description: String,
    /// How long `migrate` and `validate` took, and on SQLite the check of the foreign keys.
    pub elapsed: Duration,
}

impl Applied {
    /// The module's name: `m0007`.
    #[must_use]
    pub fn name(&self) -> String {
        migration::module_name(self.version)
    }
}

/// A step of a run, as [`Up::on_progress`](crate::Up::on_progress) hears of it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Progress {
    /// Another runner holds the version row: told when the wait has lasted a tenth of a second, and every ten seconds.
    Waiting {
        /// Who, where the server tells.
        holder: Option<ServerSession>,
        /// For how long this run has waited.
        waited: Duration,
    },
    /// The server has no connection to give: told when the wait has lasted a tenth of a second, and every ten seconds.
    WaitingForConnection {
        /// The server's words.
        reason: String,
        /// For how long this run has waited.
        waited: Duration,
    },
    /// A migration begins.
    Started {
        /// Its version.
        version: i32,
        /// Its description.
        description: String,
        /// The version that this run goes to.
        target: i32,
    },
    /// A migration takes longer than a second; told again every second.
    Running {
        /// Its version.
        version: i32,
        /// For how long it has run.
        elapsed: Duration,
        /// Who blocks it, where somebody does.
        blockers: Vec<ServerSession>,
        /// How far it is, where the server tells.
        phase: Option<String>,
    },
    /// A lock was not to be had, so the migration will be tried again: rolled back first, unless it is outside a transaction.
    Retrying {
        /// Its version.
        version: i32,
        /// How often it has been tried.
        tries: u32,
        /// Why the last try failed.
        reason: String,
        /// Who held the lock, where the server tells.
        blockers: Vec<ServerSession>,
    },
    /// A migration is committed, and that is on disk, as far as the server waits for its disk.
    Applied(Applied),
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting { holder: Some(holder), .. } => {
                write!(f, "waiting for another runner: {holder}")
            }
            Self::Waiting { holder: None, .. } => write!(f, "waiting for another runner"),
            Self::WaitingForConnection { reason, .. } => {
                write!(f, "waiting for a connection: {reason}")
            }
            Self::Started { version, description, .. } => {
                write!(f, "applying {} {description}", migration::module_name(*version))
            }
            Self::Running { version, elapsed, blockers, phase } => {
                write!(
                    f,
                    "{} has run for {} s",
                    migration::module_name(*version),
                    elapsed.as_secs()
                )?;
                for blocker in blockers {
                    write!(f, ", blocked by {blocker}")?;
                }
                phase.iter().try_for_each(|phase| write!(f, ", {phase}"))
            }
            Self::Retrying { version, tries, reason, blockers } => {
                write!(
                    f,
                    "{} did not succeed at try {tries} ({reason}",
                    migration::module_name(*version)
                )?;
                for blocker in blockers {
                    write!(f, ", blocked by {blocker}")?;
                }
                write!(f, "), and will be tried again")
            }
            Self::Applied(applied) => {
                write!(
                    f,
                    "applied {} {} in {:.1?}",
                    applied.name(),
                    applied.description,
                    applied.elapsed
                )
            }
        }
    }
}

impl Progress {
    /// Sends the step to `tracing`: what an operator should look at as a warning, the ordinary as information.
    pub(crate) fn trace(&self) {
        match self {
            Self::Waiting { waited, .. } | Self::WaitingForConnection { waited, .. } => {
                tracing::info!(target: TARGET, ?waited, "{self}");
            }
            Self::Started { version, .. } => tracing::debug!(target: TARGET, version, "{self}"),
            Self::Running { version, elapsed, .. } if self.is_news() => {
                tracing::info!(target: TARGET, version, ?elapsed, "{self}");
            }
            Self::Running { version, elapsed, .. } => {
                tracing::debug!(target: TARGET, version, ?elapsed, "{self}");
            }
            Self::Retrying { version, tries, .. } => {
                tracing::warn!(target: TARGET, version, tries, "{self}")
            }
            Self::Applied(applied) => {
                let Applied { version, elapsed, .. } = applied;
                tracing::info!(target: TARGET, version, ?elapsed, "{self}");
            }
        }
    }

    /// Whether a log that keeps every line should have this one: of a migration that runs for two hours it gets the
    /// seconds 1, 2, 4, 8, … 32 and then each minute.
    #[must_use]
    pub fn is_news(&self) -> bool {
        let Self::Running { elapsed, .. } = self else {
            return true;
        };
        let seconds = elapsed.as_secs();
        seconds % 60 == 0 || (seconds < 60 && seconds.is_power_of_two())
    }
}
