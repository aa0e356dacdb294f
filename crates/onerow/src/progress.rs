//! The steps that a run reports while it goes on, to `tracing` and to the caller.

use std::{fmt, time::Duration};

use crate::{backend::watching::ServerSession, migration::module_name};

/// The target of every event, whichever module sends it.
const TARGET: &str = "onerow";

/// A migration that a run applied.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// The version to which it took the database.
    pub version: i32,
    /// Its [`description`](crate::MigrationTrait::description).
    pub description: String,
    /// How long `migrate` and `validate` took, and the check of the foreign keys on SQLite.
    pub elapsed: Duration,
}

impl Applied {
    /// The name of its module, such as `m0007`.
    #[must_use]
    pub fn name(&self) -> String {
        module_name(self.version)
    }
}

/// A step of a run. [`Up::on_progress`](crate::Up::on_progress) takes a callback for it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Progress {
    /// Another runner holds the version row. This is told when the wait has lasted a tenth of a
    /// second, and then every ten seconds.
    Waiting {
        /// The session that holds the row, if the server tells.
        holder: Option<ServerSession>,
        /// How long this run has waited.
        waited: Duration,
    },
    /// The server has no connection to give. This is told when the wait has lasted a tenth of a
    /// second, and then every ten seconds.
    WaitingForConnection {
        /// The server's words.
        reason: String,
        /// How long this run has waited.
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
    /// A migration has run for more than a second. This is told every second.
    Running {
        /// Its version.
        version: i32,
        /// How long it has run.
        elapsed: Duration,
        /// The sessions that block it.
        blockers: Vec<ServerSession>,
        /// How far it is, if the server tells.
        phase: Option<String>,
    },
    /// A migration failed in a way that may pass, so it will be tried again: it did not get a lock,
    /// or the connection was lost. Unless it runs outside a transaction, it was rolled back.
    Retrying {
        /// Its version.
        version: i32,
        /// How often it has been tried.
        tries: u32,
        /// Why the last try failed.
        reason: String,
        /// The sessions that held the lock, if the server tells.
        blockers: Vec<ServerSession>,
    },
    /// A migration is committed, and the commit is on disk, as far as the server waits for its
    /// disk.
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
                write!(f, "applying {} {description}", module_name(*version))
            }
            Self::Running { version, elapsed, blockers, phase } => {
                let (name, seconds) = (module_name(*version), elapsed.as_secs());
                write!(f, "{name} has run for {seconds} s{}", blocked_by(blockers))?;
                phase.iter().try_for_each(|phase| write!(f, ", {phase}"))
            }
            Self::Retrying { version, tries, reason, blockers } => {
                let (name, blocked_by) = (module_name(*version), blocked_by(blockers));
                write!(
                    f,
                    "{name} failed at try {tries}, and will be tried again: {reason}{blocked_by}"
                )
            }
            Self::Applied(applied) => {
                let Applied { description, elapsed, .. } = applied;
                write!(f, "applied {} {description} in {elapsed:.1?}", applied.name())
            }
        }
    }
}

fn blocked_by(blockers: &[ServerSession]) -> String {
    let clauses: Vec<_> = blockers.iter().map(|one| format!(", blocked by {one}")).collect();
    clauses.concat()
}

impl Progress {
    /// Sends the step to `tracing`: as a warning if an operator should look at it.
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
                tracing::warn!(target: TARGET, version, tries, "{self}");
            }
            Self::Applied(applied) => {
                let Applied { version, elapsed, .. } = applied;
                tracing::info!(target: TARGET, version, ?elapsed, "{self}");
            }
        }
    }

    /// Whether a log that keeps every line should keep this one. Of a migration that runs for two
    /// hours, it should keep the seconds 1, 2, 4, 8, … 32 and then each minute.
    #[must_use]
    pub fn is_news(&self) -> bool {
        let Self::Running { elapsed, .. } = self else {
            return true;
        };
        let seconds = elapsed.as_secs();
        seconds % 60 == 0 || (seconds < 60 && seconds.is_power_of_two())
    }
}
