//! A long transaction of another session holds a lock that a migration needs.

use std::time::Duration;

use onerow::{Error, Failure, Progress, prelude::*};
use sea_orm::DatabaseTransaction;

use crate::{
    place::{Journal, Kind, Place},
    running::{self, Running},
    scenario::{Round, Scenario},
    state::{self, texts},
    subject::Subject,
};

pub fn scenarios() -> Vec<Box<dyn Scenario>> {
    vec![Box::new(Lock(Kind::Postgres)), Box::new(Lock(Kind::Sqlite(Journal::Rollback)))]
}

struct Lock(Kind);

const SUBJECT: Subject = Subject { count: 30, ..Subject::PLAIN };

/// Statements of a long transaction that a later migration has to wait for.
const HOLDS: [&str; 3] = [
    // `ALTER TABLE` waits for its reader.
    "SELECT * FROM wide",
    "UPDATE counter SET value = value",
    "LOCK TABLE ledger IN SHARE MODE",
];

#[async_trait]
impl Scenario for Lock {
    fn name(&self) -> &'static str {
        "a_long_transaction_holds_a_lock"
    }

    fn kind(&self) -> Kind {
        self.0
    }

    fn share(&self) -> usize {
        10
    }

    fn least_rounds(&self) -> usize {
        2
    }

    async fn round(&mut self, round: &mut Round<'_>) {
        let place = round.place(self.0).await;
        let onlooker = place.look().await;
        let half_way =
            SUBJECT.registry().up(&onlooker).to(round.rng.i32(0..SUBJECT.last() - 5)).await;
        half_way.unwrap_or_else(|error| panic!("{}", error.explain()));
        // On SQLite, a reader is only in the way of the commit.
        let holds = if self.0 == Kind::Postgres { round.rng.usize(..HOLDS.len()) } else { 0 };
        let holder = Holder::take(&onlooker, HOLDS[holds]).await;
        let lock_timeout = Duration::from_millis(round.rng.u64(400..800));
        if round.number.is_multiple_of(2) {
            waits_it_out(&place, holder, lock_timeout).await;
        } else {
            gives_up(&place, holder, lock_timeout).await;
        }
        round.count(true, state::check(&place, SUBJECT).await);
        running::finish(&place, SUBJECT).await;
    }
}

/// The run tries again and again, names the session in its way, and goes on when that has gone.
async fn waits_it_out(place: &Place, holder: Holder, lock_timeout: Duration) {
    let up =
        Running::start_with(place.url.as_str(), SUBJECT, move |up| up.lock_timeout(lock_timeout));
    let again = |step: &Progress| matches!(step, Progress::Retrying { tries: 2, .. });
    let retried = up.hears(again).await;
    let pid = holder.pid.clone();
    holder.let_go().await;
    let ending = up.end().await;
    assert!(retried, "it did not try again\n{}", ending.explain());
    assert_eq!(ending.version(), SUBJECT.last());
    let named = |step: &Progress| match step {
        Progress::Retrying { blockers, .. } => {
            blockers.iter().any(|blocker| blocker.pid.to_string() == pid)
        }
        _ => false,
    };
    assert!(
        pid.is_empty() || ending.heard.iter().any(named),
        "it does not name {pid}: {:?}",
        ending
            .heard
            .iter()
            .filter(|step| matches!(step, Progress::Retrying { .. }))
            .collect::<Vec<_>>()
    );
}

/// The error of the last try names the session in its way, and nothing is changed.
async fn gives_up(place: &Place, holder: Holder, lock_timeout: Duration) {
    let up = Running::start_with(place.url.as_str(), SUBJECT, move |up| {
        up.lock_timeout(lock_timeout).max_tries(2)
    });
    let ending = up.end().await;
    let version = state::check(place, SUBJECT).await;
    ending.assert_truthful(version);
    let error = ending.outcome.as_ref().err();
    let Some(Failure::Blocked { tries: 2, blockers, .. }) = error.and_then(Error::failure) else {
        panic!("it was to give up, blocked\n{}", ending.explain())
    };
    // On SQLite the commit is blocked, so it is the last migration of that commit.
    assert!(error.and_then(Error::migration) > Some(version), "{}", ending.explain());
    let named = blockers.iter().any(|blocker| blocker.pid.to_string() == holder.pid);
    assert!(named || holder.pid.is_empty(), "{}", ending.explain());
    holder.let_go().await;
}

/// A transaction that goes on until it is told to let go.
struct Holder {
    transaction: DatabaseTransaction,
    /// The id of its process on the server; empty if there is none.
    pid: String,
}

impl Holder {
    async fn take(db: &Database, sql: &str) -> Self {
        let transaction = db.begin().await;
        let transaction = transaction.unwrap_or_else(|error| panic!("{error}"));
        let held = match db.get_database_backend() {
            DatabaseBackend::Sqlite => texts(&transaction, "SELECT id FROM wide").await.map(drop),
            _ => transaction.execute_unprepared(sql).await.map(drop),
        };
        held.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let pid = match db.get_database_backend() {
            DatabaseBackend::Sqlite => Ok(Vec::new()),
            _ => texts(&transaction, "SELECT pg_backend_pid()").await,
        };
        let pid = pid.unwrap_or_else(|error| panic!("{error}")).pop();
        Self { transaction, pid: pid.unwrap_or_default() }
    }

    async fn let_go(self) {
        let rolled_back = self.transaction.rollback().await;
        rolled_back.unwrap_or_else(|error| panic!("{error}"));
    }
}
