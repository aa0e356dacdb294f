//! The server dies during a commit, or as soon as `up` has returned. It loses the contents of its
//! memory: commits that were answered, but not waited for.

use onerow::prelude::async_trait;
use tokio::time::timeout;

use crate::{
    place::Kind,
    proxy::{At, Moment, Proxy, Then, Trap},
    runner::LIMIT,
    running::{self, Running},
    scenario::{Round, Scenario},
    state,
    subject::Subject,
};

pub fn scenarios() -> Vec<Box<dyn Scenario>> {
    vec![Box::new(CommitCrash), Box::new(LateCrash)]
}

const SUBJECT: Subject = Subject::LIGHT;

struct CommitCrash;

#[async_trait]
impl Scenario for CommitCrash {
    fn name(&self) -> &'static str {
        "the_server_is_killed_in_the_middle_of_a_commit"
    }

    fn share(&self) -> usize {
        40
    }

    fn least_rounds(&self) -> usize {
        2
    }

    async fn round(&mut self, round: &mut Round<'_>) {
        let (server, place) = (round.world.server().await, round.place(Kind::Postgres).await);
        // The last commit is special: it has to be on disk before `up` returns.
        let last = round.number.is_multiple_of(2);
        let version = if last { SUBJECT.last() } else { round.rng.i32(0..SUBJECT.last()) };
        let moment =
            if round.rng.bool() { Moment::BeforeForwarding } else { Moment::AfterForwarding };
        let trap = Trap { at: At::Commit(version), moment, then: Then::Hold };
        let proxy = Proxy::start(server.port(), Some(trap)).await;
        let proxy = proxy.unwrap_or_else(|error| panic!("cannot start a proxy: {error}"));
        let log_writer = server.log_writer().await;
        let running = Running::start(proxy.url(&place.url), SUBJECT);
        let sprung = timeout(LIMIT, proxy.springs()).await;
        sprung.unwrap_or_else(|_| panic!("no commit of migration {version} within {LIMIT:?}"));
        server.kill_process(&log_writer).await;

        let ending = running.end().await;
        server.recovered().await;
        round.count(true, state::check(&place, SUBJECT).await);
        // Whatever the crash lost, the run reads the row again when the server is back, and goes on
        // from there.
        assert_eq!(ending.version(), SUBJECT.last());
        state::check_finished(&place, SUBJECT).await;
    }
}

struct LateCrash;

#[async_trait]
impl Scenario for LateCrash {
    fn name(&self) -> &'static str {
        "the_server_is_killed_as_soon_as_up_has_returned"
    }

    fn share(&self) -> usize {
        10
    }

    async fn round(&mut self, round: &mut Round<'_>) {
        let (server, place) = (round.world.server().await, round.place(Kind::Postgres).await);
        let log_writer = server.log_writer().await;
        let version = round.rng.i32(0..=SUBJECT.last());
        let ending =
            Running::start_with(place.url.as_str(), SUBJECT, move |up| up.to(version)).end().await;
        let was_hit = server.kill_process(&log_writer).await;
        server.recovered().await;
        let found = state::check(&place, SUBJECT).await;
        round.count(was_hit, found);
        assert_eq!(ending.version(), version);
        ending.assert_lasting(found);
        running::finish(&place, SUBJECT).await;
    }
}
