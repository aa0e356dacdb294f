//! The runner is killed.

use onerow::prelude::async_trait;

use crate::{
    place::{Journal, Kind},
    runner::Runner,
    scenario::{Pace, Round, Scenario},
    state,
};

pub fn scenarios() -> Vec<Box<dyn Scenario>> {
    let of =
        |kind, share| Box::new(Sigkill { kind, share, pace: Pace::default() }) as Box<dyn Scenario>;
    vec![
        of(Kind::Postgres, 250),
        of(Kind::Sqlite(Journal::Rollback), 400),
        of(Kind::Sqlite(Journal::Wal), 350),
    ]
}

struct Sigkill {
    kind: Kind,
    share: usize,
    pace: Pace,
}

/// SQLite gathers migrations in one transaction for half a second, which is enough for all of them.
/// Several runs, one after the other, can be killed at more versions.
const HOPS: [i32; 4] = [1, 7, 40, 200];

#[async_trait]
impl Scenario for Sigkill {
    fn name(&self) -> &'static str {
        "the_runner_is_killed"
    }

    fn kind(&self) -> Kind {
        self.kind
    }

    fn share(&self) -> usize {
        self.share
    }

    async fn round(&mut self, round: &mut Round<'_>) {
        let subject = round.subject();
        let hop = match self.kind {
            Kind::Postgres => subject.count,
            Kind::Sqlite(_) => HOPS[round.rng.usize(..HOPS.len())],
        };
        let whole = self.pace.of(round.world, self.kind, subject, hop).await;
        let place = round.place(self.kind).await;
        let mut version = -1;
        loop {
            let runner = Runner::start_hopping(&place, subject, hop);
            tokio::time::sleep(round.moment(whole, subject, version)).await;
            let end = runner.kill().await;
            let found = state::check(&place, subject).await;
            round.count(end.was_killed(), found);
            let told = end.told().unwrap_or(version);
            assert!(
                found >= told.max(version),
                "the database is at version {found}, and {told} was applied before, \
                 as the killed runner told"
            );
            version = found;
            // About half of them are attacked again half way.
            if version == subject.last() || round.rng.bool() {
                break;
            }
        }
        Runner::start(&place, subject).succeed().await;
        state::check_finished(&place, subject).await;
    }
}
