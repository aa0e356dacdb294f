//! A scenario, and the tools of one round of it.

use std::time::{Duration, Instant};

use fastrand::Rng;
use onerow::prelude::async_trait;

use crate::{
    place::{Kind, Place, World},
    runner::Runner,
    subject::Subject,
    tally::Tally,
};

/// A kind of fault on a kind of database.
#[async_trait]
pub trait Scenario: Send {
    /// A sentence.
    fn name(&self) -> &'static str;

    fn kind(&self) -> Kind {
        Kind::Postgres
    }

    /// Its share of every thousand faults on its backend.
    fn share(&self) -> usize;

    /// The fewest rounds, however few faults are asked for.
    fn least_rounds(&self) -> usize {
        1
    }

    /// Whether each fault takes so long that the short run leaves it out.
    fn is_slow(&self) -> bool {
        false
    }

    /// The most rounds. It is known when the first is done.
    fn most_rounds(&self) -> usize {
        usize::MAX
    }

    /// Attacks an empty database once or several times, checks it each time, and has it brought to
    /// the last version.
    async fn round(&mut self, round: &mut Round<'_>);

    /// Checks what all rounds together have to show.
    fn conclude(&self) {}
}

/// One database's story.
pub struct Round<'a> {
    pub world: &'a World,
    /// Counted from 0.
    pub number: usize,
    /// Its seed comes from the run's seed, the scenario and the round's number.
    pub rng: Rng,
    pub tally: &'a mut Tally,
}

impl Round<'_> {
    /// An empty database.
    pub async fn place(&self, kind: Kind) -> Place {
        self.world.place(kind).await
    }

    /// The migrations. In every second round, one of them builds an index.
    pub fn subject(&self) -> Subject {
        if self.number.is_multiple_of(2) { Subject::PLAIN } else { Subject::INDEXED }
    }

    /// Counts a fault, at the version of the database after it.
    pub fn count(&mut self, was_hit: bool, version: i32) {
        self.tally.count(was_hit, version);
    }

    /// A moment in the rest of a run, if a whole run takes so long.
    pub fn moment(&mut self, whole: Duration, subject: Subject, version: i32) -> Duration {
        let left = f64::from(subject.last() - version) / f64::from(subject.count);
        // Every run needs a tenth to start, to connect, and to make the version's table.
        whole.mul_f64(self.rng.f64() * (0.1 + left))
    }
}

/// The length of a run, measured when it is first asked for.
#[derive(Default)]
pub struct Pace(Vec<((Subject, i32), Duration)>);

impl Pace {
    /// The length of a runner process.
    pub async fn of(&mut self, world: &World, kind: Kind, subject: Subject, hop: i32) -> Duration {
        let known = self.0.iter().find(|(what, _)| *what == (subject, hop));
        if let Some((_, pace)) = known {
            return *pace;
        }
        let place = world.place(kind).await;
        let started = Instant::now();
        Runner::start_hopping(&place, subject, hop).succeed().await;
        let measured = started.elapsed();
        self.0.push(((subject, hop), measured));
        measured
    }
}
