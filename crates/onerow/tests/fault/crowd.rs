//! Many processes on one database at once; some of them are killed.

use std::{collections::BTreeSet, time::Duration};

use onerow::prelude::*;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    place::{Journal, Kind, Place},
    runner::{End, Runner},
    scenario::{Pace, Round, Scenario},
    state,
    subject::Subject,
};

pub fn scenarios() -> Vec<Box<dyn Scenario>> {
    let mut all: Vec<Box<dyn Scenario>> = Vec::new();
    for kind in [Kind::Postgres, Kind::Sqlite(Journal::Rollback)] {
        for (size, share) in [(2, 20), (8, 50), (32, 100)] {
            all.push(Box::new(Crowd { kind, size, share, pace: Pace::default() }));
        }
    }
    all
}

struct Crowd {
    kind: Kind,
    size: usize,
    share: usize,
    pace: Pace,
}

#[async_trait]
impl Scenario for Crowd {
    fn name(&self) -> &'static str {
        match self.size {
            2 => "two_processes_at_once",
            8 => "eight_processes_at_once",
            _ => "thirty_two_processes_at_once",
        }
    }

    fn kind(&self) -> Kind {
        self.kind
    }

    fn share(&self) -> usize {
        self.share
    }

    fn least_rounds(&self) -> usize {
        2
    }

    /// Every second round has kills. Half of both sorts have the index, on a table under write
    /// load.
    async fn round(&mut self, round: &mut Round<'_>) {
        let (is_attacked, is_indexed) = (round.number.is_multiple_of(2), round.number % 4 < 2);
        let subject = if is_indexed { Subject::INDEXED } else { Subject::PLAIN };
        let whole = self.pace.of(round.world, self.kind, subject, subject.count).await;
        let place = round.place(self.kind).await;
        let initial = half_way(&place, subject, round).await;
        let load = (is_indexed && self.kind == Kind::Postgres).then(|| Load::start(&place));

        let runners = (0..self.size).map(|_| Runner::start(&place, subject)).collect();
        let mut crowd = Processes::new(runners);
        if is_attacked {
            crowd.kill_some(&place, subject, whole, round).await;
        }
        crowd.all_end().await;
        state::check_finished(&place, subject).await;
        crowd.assert_each_once(initial, subject, is_attacked);
        drop(load);
    }
}

/// Brings every second database to some version first.
async fn half_way(place: &Place, subject: Subject, round: &mut Round<'_>) -> i32 {
    if round.rng.bool() {
        return -1;
    }
    let (version, db) = (round.rng.i32(0..subject.last()), place.look().await);
    let up = subject.registry().up(&db).to(version).await;
    up.unwrap_or_else(|error| panic!("{}", error.explain()));
    let closed = db.disconnect().await;
    closed.unwrap_or_else(|error| panic!("{}", error.explain()));
    version
}

pub struct Processes {
    runners: Vec<Runner>,
    ended: Vec<End>,
}

impl Processes {
    pub fn new(runners: Vec<Runner>) -> Self {
        Self { runners, ended: Vec::new() }
    }

    /// Kills up to half of them, while the others go on.
    async fn kill_some(
        &mut self,
        place: &Place,
        subject: Subject,
        whole: Duration,
        round: &mut Round<'_>,
    ) {
        let victims = round.rng.usize(1..=self.runners.len() / 2);
        let started = Instant::now();
        // The processes hinder each other, and a killed one costs the others time.
        let mut moments: Vec<_> =
            (0..victims).map(|_| whole.mul_f64(2.0 * round.rng.f64())).collect();
        moments.sort_unstable();
        for moment in moments {
            sleep_until(started + moment).await;
            let victim = self.runners.swap_remove(round.rng.usize(..self.runners.len()));
            let end = victim.kill().await;
            round.count(end.was_killed(), state::check(place, subject).await);
            if !end.was_killed() {
                end.assert_success();
            }
            self.ended.push(end);
        }
    }

    /// Waits for the survivors, which have to succeed.
    pub async fn all_end(&mut self) {
        for runner in self.runners.drain(..) {
            self.ended.push(runner.succeed().await);
        }
    }

    /// Checks that one process reported each migration. It may be none if that process was killed
    /// before it could.
    pub fn assert_each_once(&self, initial: i32, subject: Subject, is_attacked: bool) {
        let told: Vec<i32> = self.ended.iter().flat_map(End::applied).collect();
        let distinct: BTreeSet<_> = told.iter().copied().collect();
        assert_eq!(
            told.len(),
            distinct.len(),
            "two processes tell that they applied the same migration"
        );
        let all: BTreeSet<_> = (initial + 1..=subject.last()).collect();
        assert!(distinct.is_subset(&all), "{distinct:?} were told to be applied, of {all:?}");
        assert!(
            is_attacked || distinct == all,
            "only {distinct:?} were told to be applied, of {all:?}"
        );
    }
}

/// An app that writes to the table under the index, as long as this lives.
struct Load(JoinHandle<()>);

impl Load {
    fn start(place: &Place) -> Self {
        let url = place.url.clone();
        Self(tokio::spawn(async move {
            let db = crate::place::connect(&url).await;
            for id in (1..1000).cycle() {
                let update = format!("UPDATE wide SET note = note || '.' WHERE id = {id}");
                if db.execute_unprepared(&update).await.is_err() {
                    // The table does not exist yet.
                    sleep(Duration::from_millis(10)).await;
                }
            }
        }))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.abort();
    }
}
