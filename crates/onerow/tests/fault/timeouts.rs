//! Two runners at once, whose role has a timeout short enough to strike.

use std::time::{Duration, Instant};

use fastrand::Rng;
use onerow::{Error, ErrorKind, prelude::async_trait};
use tokio::time::sleep;

use crate::{
    blocker::Blocker,
    diary::Diary,
    place::{Kind, Place, Server},
    running::{self, Ending, Running},
    scenario::{Round, Scenario},
    state::{self, texts},
    subject::Subject,
};

pub fn scenarios() -> Vec<Box<dyn Scenario>> {
    vec![Box::new(Timeouts { settings: Vec::new() })]
}

struct Timeouts {
    /// The timeouts of this server; none before the first round.
    settings: Vec<&'static str>,
}

/// It may strike a migration's own statements.
const STATEMENT: &str = "statement_timeout";

/// It strikes waiting for a lock, which a diary does not do.
const LOCK: &str = "lock_timeout";

/// The timeouts, each with the first version of a server that has it.
const SETTINGS: [(&str, u32); 5] = [
    (LOCK, 0),
    (STATEMENT, 0),
    ("idle_in_transaction_session_timeout", 0),
    ("idle_session_timeout", 140_000),
    ("transaction_timeout", 170_000),
];

#[async_trait]
impl Scenario for Timeouts {
    fn name(&self) -> &'static str {
        "who_migrates_has_a_timeout_set"
    }

    fn share(&self) -> usize {
        40
    }

    /// A round for each timeout.
    fn least_rounds(&self) -> usize {
        SETTINGS.len()
    }

    async fn round(&mut self, round: &mut Round<'_>) {
        let server = round.world.server().await;
        let setting = self.choose(server, round.number).await;
        let place = round.place(Kind::Postgres).await;
        let case = Case::draw(setting, round.number >= self.settings.len(), &mut round.rng);
        server.reset_owner().await;
        let owner = server.for_owner(&place);
        let blocker = match case.subject.diary {
            Some(_) => None,
            None => Some(Blocker::begin(&owner, case.subject, &mut round.rng).await),
        };
        let only = round.rng.bool().then_some(&place);
        server.set_for_owner(only, setting, &format!("{}ms", case.limit.as_millis())).await;

        let started = Instant::now();
        let endings = case.run(&owner, blocker, round).await;
        server.reset_owner().await;
        round.count(started.elapsed() > case.limit, state::check(&place, case.subject).await);
        case.judge(&endings, &place).await;
        running::finish(&owner, case.subject).await;
    }
}

impl Timeouts {
    async fn choose(&mut self, server: &Server, number: usize) -> &'static str {
        if self.settings.is_empty() {
            let version = server.version().await;
            let (known, unknown): (Vec<_>, Vec<_>) =
                SETTINGS.into_iter().partition(|(_, since)| *since <= version);
            for (setting, _) in unknown {
                eprintln!(
                    "NOT TESTED: {setting}, which PostgreSQL {} does not have",
                    version / 10_000
                );
            }
            self.settings = known.into_iter().map(|(setting, _)| setting).collect();
        }
        self.settings[number % self.settings.len()]
    }
}

/// From a twentieth of a second to two seconds, mostly short.
fn limit(setting: &str, rng: &mut Rng) -> Duration {
    // On a slow machine, a shorter one would strike the first look at the version, which nobody can
    // protect.
    let least: f64 = if setting == STATEMENT { 0.2 } else { 0.05 };
    Duration::from_secs_f64(least * (2.0 / least).powf(rng.f64()))
}

struct Case {
    setting: &'static str,
    limit: Duration,
    subject: Subject,
}

impl Case {
    /// The first is outside a transaction, because that takes the most sessions.
    fn draw(setting: &'static str, may_be_transactional: bool, rng: &mut Rng) -> Self {
        let diary = Diary {
            at: 1,
            lines: rng.i32(3..8),
            pause: rng.u32(100..300),
            transactional: may_be_transactional && rng.bool(),
        };
        // An index build waits for locks.
        let is_indexed = setting == LOCK || setting == STATEMENT && rng.bool();
        let subject = if is_indexed { Subject::SHORT } else { Subject::writing(diary) };
        Self { setting, limit: limit(setting, rng), subject }
    }

    /// Two runs at once, while an index build waits a little longer than the limit.
    async fn run(
        &self,
        owner: &Place,
        blocker: Option<Blocker>,
        round: &mut Round<'_>,
    ) -> [Ending; 2] {
        let first = Running::start(owner.url.as_str(), self.subject);
        sleep(Duration::from_millis(round.rng.u64(..500))).await;
        let second = Running::start(owner.url.as_str(), self.subject);
        if let Some(blocker) = blocker {
            sleep(self.limit + Duration::from_millis(round.rng.u64(..1000))).await;
            blocker.end().await;
        }
        [first.end().await, second.end().await]
    }

    async fn judge(&self, endings: &[Ending], place: &Place) {
        let errors: Vec<&Error> =
            endings.iter().filter_map(|ending| ending.outcome.as_ref().err()).collect();
        for error in &errors {
            let text = error.explain().to_string();
            let is_its_own = error.kind() == ErrorKind::MigrationFailed;
            assert!(
                self.setting == STATEMENT && is_its_own && text.contains("statement timeout"),
                "{} is {:?}, and may strike a migration's statement alone, which is to name it\n\
                 {text}",
                self.setting,
                self.limit
            );
        }
        if errors.is_empty() && self.subject.diary.is_some() {
            let onlooker = place.look().await;
            let runs = texts(&onlooker, "SELECT count(DISTINCT run) FROM diary").await;
            assert_eq!(
                runs.unwrap_or_default(),
                ["1"],
                "how often a migration was run, of which nobody told a failure"
            );
        }
    }
}
