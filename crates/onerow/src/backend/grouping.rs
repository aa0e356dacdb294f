//! Several migrations in one transaction, where that saves the database work.

use std::time::Duration;

use async_trait::async_trait;
use sea_orm::DbErr;

use super::version_row::{Claim, Move};
use crate::failure::Failure;

/// Sets each migration of a transaction apart from the others. By default each has its own transaction.
#[async_trait]
pub(crate) trait Grouping: Send + Sync {
    /// For how long migrations may be gathered in one transaction; `None` if each has its own.
    fn gathers_for(&self) -> Option<Duration> {
        None
    }

    /// Whether a migration has left something behind that the next one must not find.
    fn is_stale(&self) -> bool {
        false
    }

    /// What is in the session is not what the next migration may find.
    fn spoil(&self) {}

    /// Looks at the session before migrations run in it, to tell later what they have changed.
    async fn survey(&self, _: &Claim) -> Result<(), DbErr> {
        Ok(())
    }

    /// Moves the version past the migration that has run, and has what comes next begin at a point of
    /// its own, to which [`undo`](Self::undo) goes back.
    async fn stage(&self, _: &Claim, _: &Move<'_>) -> Result<(), Failure> {
        Ok(())
    }

    /// The same, unless the migration leaves a row without its parent.
    async fn settle(&self, _: &Claim, _: &Move<'_>, _: Doubt) -> Result<Settled, Failure> {
        Ok(Settled::Apart)
    }

    /// Undoes what was done since the last stage.
    async fn undo(&self, _: &Claim) -> Result<(), DbErr> {
        Ok(())
    }
}

/// What a migration may have done unseen.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a doubt of its own")]
pub(crate) struct Doubt {
    /// It may have gone on after a statement that failed, some of whose rows were told of as written.
    pub(crate) rows: bool,
    /// It may have set something for its session.
    pub(crate) settings: bool,
    /// It may have done more to an SQLite schema than to add to it.
    pub(crate) schema: bool,
    /// It may have added a table with a foreign key.
    pub(crate) children: bool,
}

/// What became of a migration that has run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    /// It is set apart from those that may follow.
    Apart,
    /// It is undone, and has to run again.
    Undone,
}
