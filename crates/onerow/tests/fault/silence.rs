//! The line goes dead without a word: on all connections of a run, nothing of either side arrives.

use std::time::Duration;

use nix::sys::signal::Signal;
use onerow::prelude::async_trait;
use tokio::time::{sleep, timeout};

use crate::{
    diary::Diary,
    place::{Kind, Place},
    proxy::Proxy,
    runner::{LIMIT, Runner},
    running::{self, Running},
    scenario::{Round, Scenario},
    state,
    subject::Subject,
};

pub fn scenarios() -> Vec<Box<dyn Scenario>> {
    vec![Box::new(Silence(Then::WaitForIt)), Box::new(Silence(Then::Interrupt))]
}

struct Silence(Then);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    /// The run has to notice by itself.
    WaitForIt,
    /// Somebody presses Ctrl-C.
    Interrupt,
}

/// How long a process may take to end when it is told to.
const STOPPED: Duration = Duration::from_secs(20);

const fn subject(transactional: bool) -> Subject {
    Subject::writing(Diary { at: 1, lines: 30, pause: 100, transactional })
}

/// In milliseconds: the line goes dead within this time, well before the migration ends.
const MOMENTS: u64 = 1500;

#[async_trait]
impl Scenario for Silence {
    fn name(&self) -> &'static str {
        match self.0 {
            Then::WaitForIt => "the_line_goes_silent",
            Then::Interrupt => "the_line_goes_silent_and_the_run_is_interrupted",
        }
    }

    fn share(&self) -> usize {
        10
    }

    fn is_slow(&self) -> bool {
        self.0 == Then::WaitForIt
    }

    async fn round(&mut self, round: &mut Round<'_>) {
        let subject = subject(round.rng.bool());
        let (server, place) = (round.world.server().await, round.place(Kind::Postgres).await);
        let proxy = Proxy::start(server.port(), None).await;
        let proxy = proxy.unwrap_or_else(|error| panic!("cannot start a proxy: {error}"));
        let run = Run::start(self.0, &proxy.url(&place.url), subject);
        server.wait_until_it_runs(&place, 1).await;
        sleep(Duration::from_millis(round.rng.u64(..MOMENTS))).await;
        proxy.fall_silent();
        let second = another(round, &place, subject).await;

        run.end().await;
        // Now the server gives the sessions up, as its keepalives would make it do.
        drop(proxy);
        if let Some(second) = second {
            assert_eq!(second.end().await.version(), subject.last());
        }
        round.count(true, state::check(&place, subject).await);
        running::finish(&place, subject).await;
    }
}

/// Every second time, a runner comes another way.
async fn another(round: &mut Round<'_>, place: &Place, subject: Subject) -> Option<Running> {
    sleep(Duration::from_millis(round.rng.u64(..MOMENTS))).await;
    round.rng.bool().then(|| Running::start(place.url.as_str(), subject))
}

enum Run {
    Here(Running),
    Process(Runner),
}

impl Run {
    fn start(then: Then, url: &str, subject: Subject) -> Self {
        match then {
            Then::WaitForIt => Self::Here(Running::start(url, subject)),
            Then::Interrupt => Self::Process(Runner::start_command_line(url, subject)),
        }
    }

    /// Checks that it fails in time.
    async fn end(self) {
        match self {
            Self::Here(running) => {
                // Disconnecting takes time of its own.
                let ending = running.end_within(LIMIT + STOPPED).await;
                assert!(
                    ending.outcome.is_err(),
                    "it heard nothing, and tells {}",
                    ending.explain()
                );
            }
            Self::Process(runner) => {
                runner.signal(Signal::SIGINT);
                let end = timeout(STOPPED, runner.end()).await;
                let end =
                    end.unwrap_or_else(|_| panic!("told to stop, it has not ended in {STOPPED:?}"));
                assert!(!end.is_success(), "it heard nothing, and succeeded\n{}", end.complaint());
            }
        }
    }
}
