//! Small migrations in one transaction, and the quick check of each of them.

use std::{mem, time::Duration};

use async_trait::async_trait;
use sea_orm::{DatabaseTransaction, DbErr};

use super::{
    facts::{Facts, tables_since},
    seen::Seen,
    session::SqliteSession,
    settling::settle_slowly,
    stage::{stage, undo},
};
use crate::{
    backend::{
        grouping::{Doubt, Grouping, Settled},
        version_row::{Claim, Move},
    },
    failure::Failure,
};

/// For how long a transaction gathers migrations. It takes 4 fsyncs for one small migration, and 4
/// for a hundred. But the app's own writers would notice a longer one.
const GATHER: Duration = Duration::from_millis(500);

/// How many migrations may add tables before the new tables are read.
const UNREAD: u32 = 32;

#[async_trait]
impl Grouping for SqliteSession {
    fn gathers_for(&self) -> Option<Duration> {
        Some(GATHER)
    }

    fn is_stale(&self) -> bool {
        self.ledger.is_stale()
    }

    fn spoil(&self) {
        self.ledger.spoil();
    }

    async fn survey(&self, claim: &Claim) -> Result<(), DbErr> {
        let facts = Facts::of(claim.transaction()).await?;
        let tables = tables_since(claim.transaction(), 0).await?;
        let (told, _) = self.ledger.take();
        let mut seen = self.ledger.seen();
        *seen = Seen::of(facts, tables, told, mem::take(&mut seen.orphans));
        Ok(())
    }

    async fn stage(&self, claim: &Claim, moved: &Move<'_>) -> Result<(), Failure> {
        stage("", claim.transaction(), moved).await
    }

    /// Takes one message for most migrations: those that leave no setting behind, and only add
    /// tables and rows.
    async fn settle(
        &self,
        claim: &Claim,
        moved: &Move<'_>,
        doubt: Doubt,
    ) -> Result<Settled, Failure> {
        let (told, written) = self.ledger.take();
        let refusal = {
            let mut seen = self.ledger.seen();
            seen.has_new_children |= doubt.children;
            seen.refusal(told, &written, doubt)
        };
        if !doubt.rows && stage(&refusal, claim.transaction(), moved).await.is_ok() {
            self.ledger.take();
            if doubt.schema || doubt.children {
                note_new_tables(self, claim.transaction()).await.map_err(Failure::Commit)?;
            }
            return Ok(Settled::Apart);
        }
        let settled = settle_slowly(self, claim.transaction(), told, &written, doubt).await?;
        if settled == Settled::Apart {
            self.stage(claim, moved).await?;
        }
        self.ledger.take();
        Ok(settled)
    }

    async fn undo(&self, claim: &Claim) -> Result<(), DbErr> {
        undo(claim.transaction()).await
    }
}

/// Reads the tables that were added, but only now and then: each look is a message of its own.
async fn note_new_tables(
    session: &SqliteSession,
    claim: &DatabaseTransaction,
) -> Result<(), DbErr> {
    let newest = {
        let mut seen = session.ledger.seen();
        seen.unread += 1;
        if seen.unread < UNREAD {
            return Ok(());
        }
        seen.facts.newest
    };
    let facts = Facts::of(claim).await?;
    let tables = tables_since(claim, newest).await?;
    let mut seen = session.ledger.seen();
    seen.add(tables);
    seen.facts = facts;
    (seen.unread, seen.has_new_children) = (0, false);
    Ok(())
}
