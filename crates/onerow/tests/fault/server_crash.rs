//! The server dies under the runner.

use std::time::Duration;

use onerow::prelude::async_trait;

use crate::{
    place::{Kind, Place, Server},
    running::{self, Running},
    scenario::{Pace, Round, Scenario},
    state,
};

pub fn scenarios() -> Vec<Box<dyn Scenario>> {
    let of = |crash| Box::new(ServerCrash { crash, pace: Pace::default() }) as Box<dyn Scenario>;
    vec![of(Crash::Server), of(Crash::Session)]
}

struct ServerCrash {
    crash: Crash,
    pace: Pace,
}

#[derive(Clone, Copy)]
enum Crash {
    /// SIGQUIT to the postmaster. Somebody starts the server again.
    Server,
    /// SIGKILL to a process of the runner's. The server drops all sessions and recovers by itself.
    Session,
}

#[async_trait]
impl Scenario for ServerCrash {
    fn name(&self) -> &'static str {
        match self.crash {
            Crash::Server => "the_server_is_killed",
            Crash::Session => "the_server_process_of_the_runner_is_killed",
        }
    }

    fn share(&self) -> usize {
        70
    }

    async fn round(&mut self, round: &mut Round<'_>) {
        let subject = round.subject();
        let whole = self.pace.of(round.world, Kind::Postgres, subject, subject.count).await;
        let (server, place) = (round.world.server().await, round.place(Kind::Postgres).await);
        loop {
            let version = state::check(&place, subject).await;
            let running = Running::start(place.url.as_str(), subject);
            tokio::time::sleep(round.moment(whole, subject, version)).await;
            let was_running = !running.is_over();
            let was_hit = self.crash.strike(server, &place, round).await && was_running;
            let ending = running.end().await;
            server.recovered().await;
            let found = state::check(&place, subject).await;
            round.count(was_hit, found);
            ending.assert_lasting(found);
            if found == subject.last() || round.rng.bool() {
                break;
            }
        }
        running::finish(&place, subject).await;
    }
}

impl Crash {
    /// Strikes; false if there was nothing to kill.
    async fn strike(self, server: &Server, place: &Place, round: &mut Round<'_>) -> bool {
        match self {
            Self::Server => {
                server.kill();
                // Some runs meet a server that is away for a while.
                tokio::time::sleep(Duration::from_millis(round.rng.u64(..200))).await;
                server.restart();
                true
            }
            Self::Session => {
                let pids = server.sessions(place, "pid", "true").await;
                match round.rng.choice(pids) {
                    Some(pid) => server.kill_process(&pid).await,
                    None => false,
                }
            }
        }
    }
}
