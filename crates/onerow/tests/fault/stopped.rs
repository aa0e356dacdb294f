//! The process that runs a migration outside a transaction is stopped for a while, or killed, while
//! another waits.

use std::time::Duration;

use nix::sys::signal::Signal;
use onerow::prelude::async_trait;
use tokio::time::sleep;

use crate::{
    diary::{Diary, wait_for_lines},
    place::{Journal, Kind},
    runner::Runner,
    scenario::{Round, Scenario},
    state,
    subject::Subject,
};

pub fn scenarios() -> Vec<Box<dyn Scenario>> {
    [Kind::Postgres, Kind::Sqlite(Journal::Rollback), Kind::Sqlite(Journal::Wal)]
        .map(|kind| Box::new(Stopped(kind)) as Box<dyn Scenario>)
        .into()
}

struct Stopped(Kind);

const DIARY: Diary = Diary { at: 1, lines: 20, pause: 100, transactional: false };
const SUBJECT: Subject = Subject::writing(DIARY);

#[async_trait]
impl Scenario for Stopped {
    fn name(&self) -> &'static str {
        "the_runner_is_stopped_or_killed_while_another_waits"
    }

    fn kind(&self) -> Kind {
        self.0
    }

    fn share(&self) -> usize {
        15
    }

    fn least_rounds(&self) -> usize {
        2
    }

    /// The short run has only the file, whose scenarios are done before the server's.
    fn is_slow(&self) -> bool {
        self.0 == Kind::Postgres
    }

    /// The process goes on and is killed by turns.
    async fn round(&mut self, round: &mut Round<'_>) {
        let goes_on = round.number.is_multiple_of(2);
        let place = round.place(self.0).await;
        let first = Runner::start(&place, SUBJECT);
        wait_for_lines(&place, round.rng.usize(1..5)).await;
        sleep(Duration::from_millis(round.rng.u64(..200))).await;
        if goes_on || round.rng.bool() {
            first.signal(Signal::SIGSTOP);
        }
        let second = Runner::start(&place, SUBJECT);
        sleep(Duration::from_millis(round.rng.u64(200..2000))).await;
        if goes_on {
            first.signal(Signal::SIGCONT);
            first.succeed().await;
        } else {
            first.kill().await;
        }
        round.count(true, state::check(&place, SUBJECT).await);
        second.succeed().await;
        state::check_finished(&place, SUBJECT).await;
    }
}
