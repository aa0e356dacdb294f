//! `pg_terminate_backend` on the runner's sessions.

use std::time::Duration;

use onerow::prelude::async_trait;
use tokio::time::{Instant, sleep};

use crate::{
    blocker::Blocker,
    place::{Kind, Place, Server},
    runner::LIMIT,
    running::{self, Running},
    scenario::{Pace, Round, Scenario},
    state,
    subject::Subject,
};

pub fn scenarios() -> Vec<Box<dyn Scenario>> {
    vec![
        Box::new(AnySession::default()),
        Box::new(OfTwo(Victim::Lock)),
        Box::new(OfTwo(Victim::Worker)),
    ]
}

/// Any session of a random moment.
#[derive(Default)]
struct AnySession {
    pace: Pace,
}

#[async_trait]
impl Scenario for AnySession {
    fn name(&self) -> &'static str {
        "the_sessions_of_the_runner_are_terminated"
    }

    fn share(&self) -> usize {
        80
    }

    async fn round(&mut self, round: &mut Round<'_>) {
        let subject = round.subject();
        let whole = self.pace.of(round.world, Kind::Postgres, subject, subject.count).await;
        let (server, place) = (round.world.server().await, round.place(Kind::Postgres).await);
        let mut version = -1;
        while version < subject.last() {
            let running = Running::start(place.url.as_str(), subject);
            sleep(round.moment(whole, subject, version)).await;
            let was_hit = terminate(server, &place, "true").await;
            let ending = running.end().await;
            version = state::check(&place, subject).await;
            round.count(was_hit, version);
            ending.assert_truthful(version);
            if round.rng.bool() {
                break;
            }
        }
        running::finish(&place, subject).await;
    }
}

/// Ends the runner's sessions that meet the condition; false if there was none.
pub async fn terminate(server: &Server, place: &Place, condition: &str) -> bool {
    let ended = server.sessions(place, "pg_terminate_backend(pid)", condition).await;
    ended.iter().any(|ended| ended == "true")
}

/// One of the two sessions of a migration outside a transaction.
struct OfTwo(Victim);

#[derive(Clone, Copy)]
enum Victim {
    /// It holds the row.
    Lock,
    /// It builds the index.
    Worker,
}

const LOCK: &str = "state = 'idle in transaction'";
const WORKER: &str =
    "state = 'active' AND query LIKE 'CREATE INDEX CONCURRENTLY%' AND wait_event_type = 'Lock'";

const SUBJECT: Subject = Subject::SHORT;

#[async_trait]
impl Scenario for OfTwo {
    fn name(&self) -> &'static str {
        match self.0 {
            Victim::Lock => "the_session_that_holds_the_row_is_terminated_while_an_index_is_built",
            Victim::Worker => "the_session_that_builds_an_index_is_terminated",
        }
    }

    fn share(&self) -> usize {
        30
    }

    async fn round(&mut self, round: &mut Round<'_>) {
        let (server, place) = (round.world.server().await, round.place(Kind::Postgres).await);
        let blocker = Blocker::begin(&place, SUBJECT, &mut round.rng).await;
        let running = Running::start(place.url.as_str(), SUBJECT);
        wait_until_it_builds(server, &place).await;
        sleep(Duration::from_millis(round.rng.u64(..100))).await;
        let condition = match self.0 {
            Victim::Lock => LOCK,
            Victim::Worker => WORKER,
        };
        let was_hit = terminate(server, &place, condition).await;
        // Another runner may come before the index is built: if the session was terminated, nothing
        // holds the row.
        let second = round.rng.bool().then(|| Running::start(place.url.as_str(), SUBJECT));
        sleep(Duration::from_millis(round.rng.u64(..100))).await;
        blocker.end().await;

        let ending = running.end().await;
        if let Some(second) = second {
            // The first one's report is about a moment that has passed.
            assert_eq!(second.end().await.version(), SUBJECT.last());
        } else {
            ending.assert_truthful(state::check(&place, SUBJECT).await);
        }
        round.count(was_hit, state::check(&place, SUBJECT).await);
        running::finish(&place, SUBJECT).await;
    }
}

async fn wait_until_it_builds(server: &Server, place: &Place) {
    let deadline = Instant::now() + LIMIT;
    while server.sessions(place, "pid", WORKER).await.is_empty() {
        assert!(Instant::now() < deadline, "no index is being built after {LIMIT:?}");
        sleep(Duration::from_millis(10)).await;
    }
}
