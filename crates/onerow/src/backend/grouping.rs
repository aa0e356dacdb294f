//! Several migrations in one transaction, if that saves the database work.

use std::time::Duration;

use async_trait::async_trait;
use sea_orm::DbErr;

use super::version_row::{Claim, Move};
use crate::failure::Failure;

/// Keeps the migrations of one transaction apart. By default each has a transaction of its own.
#[async_trait]
pub(crate) trait Grouping: Send + Sync {
    /// For how long one transaction may gather migrations; `None` if each has its own.
    fn gathers_for(&self) -> Option<Duration> {
        None
    }

    /// Whether a migration has left something in the session that the next one must not find.
    fn is_stale(&self) -> bool {
        false
    }

    /// Notes that the next migration must not find this session.
    fn spoil(&self) {}

    /// Looks at the session before migrations run in it, to know later what they have changed.
    async fn survey(&self, _: &Claim) -> Result<(), DbErr> {
        Ok(())
    }

    /// Moves the version past the migration that has run, and marks the point at which the next one
    /// begins. [`undo`](Self::undo) goes back to that point.
    async fn stage(&self, _: &Claim, _: &Move<'_>) -> Result<(), Failure> {
        Ok(())
    }

    /// Does what [`stage`](Self::stage) does, unless the migration leaves rows without their
    /// parent.
    async fn settle(&self, _: &Claim, _: &Move<'_>, _: Doubt) -> Result<Settled, Failure> {
        Ok(Settled::Apart)
    }

    /// Undoes all that was done since the last stage.
    async fn undo(&self, _: &Claim) -> Result<(), DbErr> {
        Ok(())
    }
}

/// The things that a migration may have done unseen.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a doubt of its own")]
pub(crate) struct Doubt {
    /// It may have gone on after a statement that failed. SQLite may have told of rows of that
    /// statement, which are gone.
    pub(crate) rows: bool,
    /// It may have set something for its session.
    pub(crate) settings: bool,
    /// It may have done more to an SQLite schema than add to it.
    pub(crate) schema: bool,
    /// It may have added a table with a foreign key.
    pub(crate) children: bool,
}

/// The outcome for a migration that has run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    /// It stands, apart from the migrations that may follow.
    Apart,
    /// It is undone and has to run again.
    Undone,
}
