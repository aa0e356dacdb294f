//! The questions, each in a module: the measuring, the data, and the output.

pub mod apply;
pub mod build;
pub mod delay;
pub mod kills;
pub mod memory;
pub mod nothing;
pub mod replicas;

use anyhow::Result;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    program::{Programs, Reading, Run},
    proxy::Traffic,
    render::page::{Comparison, Goal, Page},
    statistics::Summary,
    subject::{Kind, Subject},
};

/// A question, and the data that answer it.
pub trait Section: Serialize + DeserializeOwned {
    /// The name of its file, and of its markers in the README.
    const NAME: &'static str;

    /// Takes minutes, unless it is quick.
    async fn measure(bench: &Bench) -> Result<Self>;

    fn page(&self) -> Result<Page>;

    fn goals(&self) -> Vec<Goal>;
}

/// The tools of a measurement.
pub struct Bench {
    pub programs: Programs,
    pub is_quick: bool,
}

impl Bench {
    /// The full number, or the small one that only shows that all works.
    pub fn scale<T>(&self, full: T, quick: T) -> T {
        if self.is_quick { quick } else { full }
    }

    pub fn rng() -> fastrand::Rng {
        fastrand::Rng::new()
    }
}

/// The traffic between a program and its server.
#[derive(Debug, Clone, Copy, Serialize, serde::Deserialize)]
pub struct Counted {
    pub subject: Subject,
    /// How many migrations there are.
    pub count: u16,
    /// From the first connection to the last goodbye.
    pub process: Traffic,
    /// The traffic while the program brings the database up to date, without connecting.
    pub migration: Traffic,
}

/// A summary of all runs of a subject.
fn summary(
    runs: &[Run],
    kind: Kind,
    subject: Subject,
    count: u16,
    value: impl Fn(Reading) -> f64,
) -> Option<Summary> {
    let runs =
        runs.iter().filter(|run| (run.kind, run.subject, run.count) == (kind, subject, count));
    Summary::of(runs.filter_map(|run| run.outcome.reading()).map(value))
}

/// The subjects of a database, at each number of migrations.
fn by_count(runs: &[Run], kind: Kind, value: impl Fn(Reading) -> f64) -> Comparison {
    let counts = counts(runs);
    let rows = subjects(runs, kind).into_iter().map(|subject| {
        let cells = counts.iter().map(|count| summary(runs, kind, subject, *count, &value));
        (subject, cells.collect())
    });
    Comparison {
        columns: counts.iter().map(|count| format!("{kind}, {count}")).collect(),
        rows: rows.collect(),
    }
}

/// The numbers of migrations, from few to many.
fn counts(runs: &[Run]) -> Vec<u16> {
    let mut counts: Vec<_> = runs.iter().map(|run| run.count).collect();
    counts.sort_unstable();
    counts.dedup();
    counts
}

/// In the order of [`ALL`](crate::subject::Tool::ALL), each tool's usual way first.
fn subjects(runs: &[Run], kind: Kind) -> Vec<Subject> {
    let mut subjects: Vec<Subject> = Vec::new();
    for run in runs.iter().filter(|run| run.kind == kind) {
        if !subjects.contains(&run.subject) {
            subjects.push(run.subject);
        }
    }
    subjects.sort_by_key(|subject| (subject.tool as usize, subject.mode as usize));
    subjects
}

/// The failures and their reasons: a sentence for each subject.
fn failures(runs: &[Run]) -> Vec<String> {
    let mut sentences = Vec::new();
    for kind in Kind::ALL {
        for subject in subjects(runs, kind) {
            let of = runs.iter().filter(|run| (run.kind, run.subject) == (kind, subject));
            let (mut all, mut failed, mut why) = (0, 0, String::new());
            for run in of {
                all += 1;
                if let crate::program::Outcome::Failed(error) = &run.outcome {
                    failed += 1;
                    why.clone_from(error);
                }
            }
            if failed > 0 {
                sentences
                    .push(format!("{kind}: {failed} of {all} runs of {subject} failed: `{why}`"));
            }
        }
    }
    sentences
}
