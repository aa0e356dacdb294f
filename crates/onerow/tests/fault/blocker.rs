//! A transaction that an index build waits for, as long as we like.

use fastrand::Rng;
use onerow::prelude::*;
use sea_orm::{DatabaseTransaction, IsolationLevel};

use crate::{place::Place, subject::Subject};

const STATEMENTS: [(IsolationLevel, &str); 2] = [
    // This is a writer; the build waits for it before anything is built.
    (IsolationLevel::ReadCommitted, "UPDATE wide SET note = note WHERE id = 1"),
    // This is an old snapshot; the build waits for it when all is built and only has to be declared
    // valid.
    (IsolationLevel::RepeatableRead, "SELECT FROM ledger"),
];

pub struct Blocker(DatabaseTransaction);

impl Blocker {
    /// Begins it just before the migration that builds the index.
    pub async fn begin(place: &Place, subject: Subject, rng: &mut Rng) -> Self {
        let db = place.look().await;
        let before = subject.index_at.map_or(-1, |at| at - 1);
        let up = subject.registry().up(&db).to(before).await;
        up.unwrap_or_else(|error| panic!("{}", error.explain()));
        let (isolation, sql) = STATEMENTS[rng.usize(..STATEMENTS.len())];
        let begun = db.begin_with_config(Some(isolation), None).await;
        let transaction = begun.unwrap_or_else(|error| panic!("{error}"));
        let done = transaction.execute_unprepared(sql).await;
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
        Self(transaction)
    }

    pub async fn end(self) {
        let ended = self.0.rollback().await;
        ended.unwrap_or_else(|error| panic!("{error}"));
    }
}
