//! What sessions are doing, seen from another connection; and ending it.

use std::time::Duration;

use async_trait::async_trait;
use sea_orm::DbErr;

use crate::{progress::ServerSession, table::TableName};

/// Looks at the server's sessions. By default there is no server, and nobody to see.
#[async_trait]
pub(crate) trait Watch: Send + Sync {
    /// Who holds the row of this table.
    async fn holder(&self, _: &TableName) -> Option<ServerSession> {
        None
    }

    /// What the sessions of this label are doing, and the one of this process, which a migration may
    /// have renamed.
    async fn activity(&self, _label: &str, _pid: i32) -> Result<Activity, DbErr> {
        Ok(Activity { sessions: 1, ..Activity::default() })
    }

    /// The sessions of other runs of this migration and this registry, by their label and by their right
    /// to the row.
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

    /// Ends the sessions of this run that are at a statement.
    async fn terminate(&self, _run: &str) -> Result<(), DbErr> {
        Ok(())
    }
}

/// What a session of a run is doing.
#[derive(Debug, Default, Clone)]
pub(crate) struct Activity {
    /// How many sessions have the label.
    pub(crate) sessions: usize,
    /// For how long they all have been waiting for a statement.
    pub(crate) idle: Option<Duration>,
    pub(crate) blockers: Vec<ServerSession>,
    pub(crate) phase: Option<String>,
}
