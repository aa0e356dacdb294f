//! The connection is cut at each message of the protocol in turn, just before and just after the
//! message is forwarded.

use onerow::prelude::async_trait;

use crate::{
    place::{Kind, World},
    proxy::{At, Message, Moment, Proxy, Side, Spot, Then, Trap},
    running::{self, Ending, Running},
    scenario::{Round, Scenario},
    state,
    subject::Subject,
};

const SUBJECT: Subject = Subject::SHORT;

pub fn scenarios() -> Vec<Box<dyn Scenario>> {
    vec![Box::new(Cut::new(Then::Cut)), Box::new(Cut::new(Then::CutForEver))]
}

struct Cut {
    then: Then,
    /// The cases that are still to come. The last is the next.
    cases: Option<Vec<(At, Moment)>>,
    rounds: usize,
    undelivered: usize,
    unanswered: usize,
}

impl Cut {
    fn new(then: Then) -> Self {
        Self { then, cases: None, rounds: usize::MAX, undelivered: 0, unanswered: 0 }
    }

    async fn next_case(&mut self, round: &mut Round<'_>) -> (At, Moment) {
        if self.cases.is_none() {
            let cases = cases(rehearse(round.world).await, round);
            self.rounds = cases.len();
            self.cases = Some(cases);
        }
        let next = self.cases.as_mut().and_then(Vec::pop);
        next.unwrap_or_else(|| panic!("there are no more messages"))
    }

    /// Counts a commit whose answer did not arrive in full.
    fn count_doubt(&mut self, doubt: Doubt) {
        match doubt {
            Doubt::Undelivered => self.undelivered += 1,
            Doubt::Unanswered => self.unanswered += 1,
        }
    }
}

#[async_trait]
impl Scenario for Cut {
    fn name(&self) -> &'static str {
        match self.then {
            Then::CutForEver => "the_connection_is_cut_at_a_message_and_the_server_stays_away",
            _ => "the_connection_is_cut_at_each_message_in_turn",
        }
    }

    fn share(&self) -> usize {
        match self.then {
            Then::CutForEver => 3,
            // The long run takes all of them.
            _ => 1000,
        }
    }

    fn is_slow(&self) -> bool {
        // A run looks for its server for half a minute.
        self.then == Then::CutForEver
    }

    fn most_rounds(&self) -> usize {
        self.rounds
    }

    async fn round(&mut self, round: &mut Round<'_>) {
        let (at, moment) = self.next_case(round).await;
        let (server, place) = (round.world.server().await, round.place(Kind::Postgres).await);
        let trap = Trap { at, moment, then: self.then };
        let proxy = start(server.port(), Some(trap)).await;
        let ending = Running::start(proxy.url(&place.url), SUBJECT).end().await;
        let version = state::check(&place, SUBJECT).await;
        ending.assert_truthful(version);
        let sprung = proxy.sprung();
        round.count(sprung.is_some(), version);
        if let Some(doubt) = sprung.and_then(|message| Doubt::of(&message, moment)) {
            self.count_doubt(doubt);
            if self.then == Then::Cut {
                assert_went_on(&ending);
            }
        }
        running::finish(&place, SUBJECT).await;
    }

    fn conclude(&self) {
        let both = self.undelivered > 0 && self.unanswered > 0;
        assert!(
            both || self.then == Then::CutForEver,
            "no connection was cut in the middle of a commit: {} before it was delivered, \
             {} before it was answered",
            self.undelivered,
            self.unanswered
        );
    }
}

/// A run that reads the row again has no reason to fail, or to apply or report anything twice.
fn assert_went_on(ending: &Ending) {
    let all: Vec<i32> = (0..=SUBJECT.last()).collect();
    assert_eq!(ending.version(), SUBJECT.last());
    assert_eq!(ending.applied(), all, "what the run told to be applied");
}

/// Why a client cannot know whether it has committed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Doubt {
    Undelivered,
    Unanswered,
}

impl Doubt {
    fn of(message: &Message, moment: Moment) -> Option<Self> {
        match (message.spot, moment) {
            (Spot::Commit(_), Moment::BeforeForwarding) => Some(Self::Undelivered),
            (Spot::CommitAnswer(_), Moment::AfterForwarding) if message.tag == 'Z' => None,
            (Spot::Commit(_) | Spot::CommitAnswer(_), _) => Some(Self::Unanswered),
            (Spot::Elsewhere, _) => None,
        }
    }
}

/// The messages of an undisturbed run.
async fn rehearse(world: &World) -> Vec<Message> {
    let (server, place) = (world.server().await, world.place(Kind::Postgres).await);
    let proxy = start(server.port(), None).await;
    let ending = Running::start(proxy.url(&place.url), SUBJECT).end().await;
    assert_eq!(ending.version(), SUBJECT.last());
    let seen = proxy.seen();
    assert!(seen.iter().any(|message| message.from == Side::Server));
    seen
}

/// Each message twice, in a random order. Two cases come first, because every run, however short,
/// has to meet them: a commit that does not arrive, and one whose answer does not.
fn cases(messages: Vec<Message>, round: &mut Round<'_>) -> Vec<(At, Moment)> {
    let moments = [Moment::BeforeForwarding, Moment::AfterForwarding];
    let mut cases: Vec<_> =
        messages.into_iter().flat_map(|message| moments.map(|moment| (message, moment))).collect();
    round.rng.shuffle(&mut cases);
    for doubt in [Doubt::Undelivered, Doubt::Unanswered] {
        let found =
            cases.iter().position(|(message, moment)| Doubt::of(message, *moment) == Some(doubt));
        let case = cases.remove(found.unwrap_or_else(|| panic!("the run has no commit")));
        cases.push(case);
    }
    cases.into_iter().map(|(message, moment)| (at(&message), moment)).collect()
}

/// A commit is known by its migration, since on a busy machine more messages may come before it
/// than in the rehearsal.
fn at(message: &Message) -> At {
    match message.spot {
        Spot::Commit(migration) => At::Commit(migration),
        _ => At::Message(message.number),
    }
}

async fn start(server: u16, trap: Option<Trap>) -> Proxy {
    let proxy = Proxy::start(server, trap).await;
    proxy.unwrap_or_else(|error| panic!("cannot start a proxy: {error}"))
}
