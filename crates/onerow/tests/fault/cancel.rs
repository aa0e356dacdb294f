//! The run is told to stop, as by Ctrl-C or SIGTERM.

use std::time::Duration;

use onerow::{ErrorKind, prelude::async_trait};
use tokio::time::{Instant, sleep};

use crate::{
    place::{Journal, Kind, Place, World},
    running::{self, Running},
    scenario::{Pace, Round, Scenario},
    state,
};

pub fn scenarios() -> Vec<Box<dyn Scenario>> {
    let of = |kind| Box::new(Cancel { kind, pace: Pace::default() }) as Box<dyn Scenario>;
    vec![of(Kind::Postgres), of(Kind::Sqlite(Journal::Rollback))]
}

struct Cancel {
    kind: Kind,
    pace: Pace,
}

/// How long the server may take to notice that its client has gone.
const SOON: Duration = Duration::from_secs(5);

#[async_trait]
impl Scenario for Cancel {
    fn name(&self) -> &'static str {
        "the_run_is_told_to_stop"
    }

    fn kind(&self) -> Kind {
        self.kind
    }

    fn share(&self) -> usize {
        80
    }

    async fn round(&mut self, round: &mut Round<'_>) {
        let subject = round.subject();
        let whole = self.pace.of(round.world, self.kind, subject, subject.count).await;
        let place = round.place(self.kind).await;
        let mut version = -1;
        while version < subject.last() {
            let signal = sleep(round.moment(whole, subject, version));
            let ending =
                Running::start_with(place.url.as_str(), subject, |up| up.cancel_on(signal))
                    .end()
                    .await;
            version = state::check(&place, subject).await;
            let told = match &ending.outcome {
                Ok(report) => Some(report.version),
                Err(error) if error.kind() == ErrorKind::Cancelled => error.version(),
                _ => panic!("it was told to stop, and failed otherwise\n{}", ending.explain()),
            };
            assert_eq!(told, Some(version), "what it tells, and what the database holds");
            round.count(ending.outcome.is_err(), version);
            assert_gone(round.world, &place).await;
            if round.rng.bool() {
                break;
            }
        }
        running::finish(&place, subject).await;
    }
}

/// Checks that no session of the run is left on the server.
async fn assert_gone(world: &World, place: &Place) {
    if place.kind != Kind::Postgres {
        return;
    }
    let server = world.server().await;
    let deadline = Instant::now() + SOON;
    loop {
        let left = server
            .sessions(place, "application_name || ' ' || state || ' ' || query", "true")
            .await;
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "left on the server after {SOON:?}: {left:?}");
        sleep(Duration::from_millis(20)).await;
    }
}
