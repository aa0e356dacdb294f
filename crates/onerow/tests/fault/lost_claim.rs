//! The session that holds the row is lost while a migration outside a transaction runs, and others
//! wait for their turn.

use std::time::Duration;

use onerow::{Failure, prelude::async_trait};
use tokio::time::{Instant, sleep};

use crate::{
    diary::Diary,
    place::{Kind, Place, Server, runs},
    proxy::Proxy,
    running::{self, Ending, Running},
    scenario::{Round, Scenario},
    state,
    subject::Subject,
    terminate::terminate,
};

pub fn scenarios() -> Vec<Box<dyn Scenario>> {
    let of = |by| Box::new(LostClaim { by, noticed: 0 }) as Box<dyn Scenario>;
    vec![of(By::Administrator), of(By::Network)]
}

struct LostClaim {
    by: By,
    /// How often the holder said so.
    noticed: usize,
}

#[derive(Clone, Copy)]
enum By {
    Administrator,
    Network,
}

const DIARY: Diary = Diary { at: 1, lines: 24, pause: 120, transactional: false };
const SUBJECT: Subject = Subject::writing(DIARY);

/// In milliseconds: the others start and the session is lost within this time, well before the
/// migration ends.
const MOMENTS: u64 = 600;

#[async_trait]
impl Scenario for LostClaim {
    fn name(&self) -> &'static str {
        match self.by {
            By::Administrator => "the_claim_is_terminated_while_two_more_wait",
            By::Network => "the_connection_of_the_claim_is_cut_while_two_more_wait",
        }
    }

    fn share(&self) -> usize {
        15
    }

    async fn round(&mut self, round: &mut Round<'_>) {
        let (server, place) = (round.world.server().await, round.place(Kind::Postgres).await);
        let proxy = Proxy::start(server.port(), None).await;
        let proxy = proxy.unwrap_or_else(|error| panic!("cannot start a proxy: {error}"));
        let first = Running::start(proxy.url(&place.url), SUBJECT);
        server.wait_until_it_runs(&place, DIARY.at).await;
        let [one, other, moment] =
            [(); 3].map(|()| Duration::from_millis(round.rng.u64(..MOMENTS)));
        let (second, third, was_hit) = tokio::join!(
            start_after(one, &place),
            start_after(other, &place),
            self.by.strike_after(moment, server, &place, &proxy),
        );
        let (first, second, third) = tokio::join!(first.end(), second.end(), third.end());
        round.count(was_hit, state::check(&place, SUBJECT).await);
        for waiter in [second, third] {
            assert_eq!(waiter.version(), SUBJECT.last());
        }
        self.noticed += usize::from(has_noticed(&first));
        running::finish(&place, SUBJECT).await;
    }

    fn conclude(&self) {
        assert!(self.noticed > 0, "no holder has noticed that it lost the row");
    }
}

/// Whether it says that the row was lost. It may fail with no other error.
fn has_noticed(holder: &Ending) -> bool {
    match &holder.outcome {
        Ok(_) => false,
        Err(error) if matches!(error.failure(), Some(Failure::ClaimLost(_))) => true,
        Err(error) => panic!("it does not say that it lost the row\n{}", error.explain()),
    }
}

async fn start_after(pause: Duration, place: &Place) -> Running {
    sleep(pause).await;
    Running::start(place.url.as_str(), SUBJECT)
}

impl By {
    async fn strike_after(
        self,
        pause: Duration,
        server: &Server,
        place: &Place,
        proxy: &Proxy,
    ) -> bool {
        sleep(pause).await;
        let holder = format!("state = 'idle in transaction' AND {}", runs(DIARY.at));
        let deadline = Instant::now() + Duration::from_secs(1);
        while Instant::now() < deadline {
            // The run may be asking just now whether the session is there.
            if self.strike(server, place, proxy, &holder).await {
                return true;
            }
        }
        false
    }

    async fn strike(self, server: &Server, place: &Place, proxy: &Proxy, holder: &str) -> bool {
        match self {
            Self::Administrator => terminate(server, place, holder).await,
            Self::Network => {
                let ports = server.sessions(place, "client_port", holder).await;
                ports.iter().flat_map(|port| port.parse()).any(|port| proxy.cut(port))
            }
        }
    }
}
