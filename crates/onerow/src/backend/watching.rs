//! Seeing from another connection what sessions are doing, and ending it.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use sea_orm::DbErr;

use crate::table::TableName;

/// Looks at the server's sessions. By default there is no server, and no session to see.
#[async_trait]
pub(crate) trait Watch: Send + Sync {
    /// The session that holds the row of this table.
    async fn holder(&self, _: &TableName) -> Option<ServerSession> {
        None
    }

    /// What the sessions of this label are doing, and the session of this process, which a
    /// migration may have renamed.
    async fn activity(&self, _label: &str, _pid: i32) -> Result<Activity, DbErr> {
        Ok(Activity { sessions: 1, ..Activity::default() })
    }

    /// The sessions of other runs that are at this migration of this registry. They are known by
    /// their label, and by their right to the row.
    async fn others_at_work(
        &self,
        _migration: &str,
        _run: &str,
        _: &TableName,
    ) -> Result<Vec<ServerSession>, DbErr> {
        Ok(Vec::new())
    }

    /// Ends the statements that the sessions of this run are executing.
    async fn cancel(&self, run: &str) -> Result<(), DbErr>;

    /// Ends the sessions of this run that are executing a statement.
    async fn terminate(&self, _run: &str) -> Result<(), DbErr> {
        Ok(())
    }
}

/// What the sessions of a run are doing.
#[derive(Debug, Default, Clone)]
pub(crate) struct Activity {
    /// How many sessions have the label.
    pub(crate) sessions: usize,
    /// For how long all of them have been waiting for a statement.
    pub(crate) idle: Option<Duration>,
    pub(crate) blockers: Vec<ServerSession>,
    pub(crate) phase: Option<String>,
}

/// Another session on the server, which holds what this run needs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerSession {
    /// Its process on the server.
    pub pid: i32,
    /// The name that it goes by; empty if the server does not tell.
    pub application_name: String,
    /// How long its transaction has lasted.
    pub since: Duration,
}

impl fmt::Display for ServerSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pid {}", self.pid)?;
        if !self.application_name.is_empty() {
            write!(f, " \"{}\"", self.application_name)?;
        }
        write!(f, ", in its transaction for {} s", self.since.as_secs())
    }
}
