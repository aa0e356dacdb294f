//! Applying everything to an empty database.

use std::{fs, path::Path, time::Duration};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::{Bench, Counted, Section, by_count, counts, failures, summary};
use crate::{
    program::{Outcome, Run, outcome, start},
    proxy::Proxy,
    render::{
        figure::Unit,
        page::{Comparison, Found, Goal, Page},
        plot::{self, Lines},
    },
    statistics::{Summary, interleaved},
    subject::{Kind, Mode, Subject, Tool},
    world::World,
};

/// How many migrations, and how often each is measured.
const COUNTS: &[(u16, usize)] = &[(10, 9), (100, 7), (1_000, 4)];
const QUICK_COUNTS: &[(u16, usize)] = &[(10, 2), (30, 2)];

#[derive(Debug, Serialize, Deserialize)]
pub struct Apply {
    runs: Vec<Run>,
    counts: Vec<Counted>,
    flushes: Vec<Flushed>,
}

/// How often a run waited for the disk: flushes of PostgreSQL's log, or SQLite's calls of `fsync`
/// and `fdatasync`.
#[derive(Debug, Serialize, Deserialize)]
struct Flushed {
    kind: Kind,
    subject: Subject,
    count: u16,
    flushes: i64,
}

impl Section for Apply {
    const NAME: &'static str = "apply";

    async fn measure(bench: &Bench) -> Result<Self> {
        let world = World::new().await?;
        let mut measured = Self { runs: Vec::new(), counts: Vec::new(), flushes: Vec::new() };
        for &(count, repetitions) in bench.scale(COUNTS, QUICK_COUNTS) {
            eprintln!("apply: {count} migrations");
            measured.time(bench, &world, count, repetitions).await?;
            for subject in subjects() {
                measured.count(bench, &world, subject, count).await?;
                measured.trace(bench, &world, subject, count).await?;
            }
        }
        Ok(measured)
    }

    fn page(&self) -> Result<Page> {
        let mut page = Page::default();
        for kind in Kind::ALL {
            let times = by_count(&self.runs, kind, |reading| reading.migrate_seconds);
            page.comparison("time without connecting", &times, Unit::Seconds);
        }
        page.list(&failures(&self.runs));
        page.plot(
            "apply",
            "Time of applying, relative to the bare connection",
            plot::lines(&Kind::ALL.map(|kind| self.lines(kind)))?,
        );
        page.comparison(
            "PostgreSQL: round trips for each migration",
            &self.round_trips(),
            Unit::Count,
        );
        page.comparison("flushes of PostgreSQL's log", &self.flushes(Kind::Postgres), Unit::Count);
        if self.flushes.iter().any(|flushes| flushes.kind == Kind::Sqlite) {
            page.comparison(
                "`fsync` and `fdatasync` of SQLite",
                &self.flushes(Kind::Sqlite),
                Unit::Count,
            );
        } else {
            page.paragraph("The flushes of SQLite were not counted: strace is not installed.");
        }
        Ok(page)
    }

    fn goals(&self) -> Vec<Goal> {
        let most = counts(&self.runs).last().copied().unwrap_or(0);
        let ratio = |kind| Some(self.ratio(kind, Subject::ONEROW, most)?.median);
        let flushes = |kind, count| self.flushes_of(kind, Subject::ONEROW, count);
        let log: Vec<i64> = counts(&self.runs)
            .into_iter()
            .filter_map(|count| flushes(Kind::Postgres, count))
            .collect();
        vec![
            Goal::at_most(
                "applying the most, PostgreSQL: time relative to one message for each",
                1.1,
                Unit::Ratio,
                ratio(Kind::Postgres),
            ),
            Goal::at_most(
                "applying the most, SQLite: time relative to one transaction for all",
                1.3,
                Unit::Ratio,
                ratio(Kind::Sqlite),
            ),
            Goal::at_most(
                "applying 100, SQLite: flushes",
                20.0,
                Unit::Count,
                flushes(Kind::Sqlite, 100).map(|flushes| flushes as f64),
            ),
            Goal::at_most(
                "applying, PostgreSQL: round trips for each migration",
                4.0,
                Unit::Count,
                self.round_trips_each(Subject::ONEROW),
            ),
            Goal {
                what: "applying, PostgreSQL: flushes of the log, from few migrations to many"
                    .into(),
                wanted: "no growth with their number".into(),
                found: log.first().zip(log.last()).map(|(few, many)| Found {
                    text: log.iter().map(i64::to_string).collect::<Vec<_>>().join(", "),
                    // Background flushes come a few times a second.
                    is_reached: many - few <= i64::from(most) / 20,
                }),
            },
        ]
    }
}

impl Apply {
    async fn time(
        &mut self,
        bench: &Bench,
        world: &World,
        count: u16,
        repetitions: usize,
    ) -> Result<()> {
        let all: Vec<_> = subjects()
            .into_iter()
            .flat_map(|subject| Kind::ALL.map(|kind| (kind, subject)))
            .collect();
        for (kind, subject) in interleaved(&all, repetitions, &mut Bench::rng()) {
            let place = world.create_in_peace(kind).await?;
            let outcome = bench.programs.run(subject, &place.url, count).await;
            self.runs.push(Run { kind, subject, count, outcome });
            world.remove(place).await?;
        }
        Ok(())
    }

    /// Counts the traffic through the proxy, and the flushes of the log meanwhile.
    async fn count(
        &mut self,
        bench: &Bench,
        world: &World,
        subject: Subject,
        count: u16,
    ) -> Result<()> {
        let place = world.create_in_peace(Kind::Postgres).await?;
        let proxy = Proxy::start(world.server.port(), Duration::ZERO).await?;
        let before = world.server.log_flushes().await?;
        let run = bench.programs.run(subject, &proxy.url(&place.url), count).await;
        if let Some(reading) = run.reading() {
            let flushes = world.server.log_flushes().await? - before;
            self.flushes.push(Flushed { kind: place.kind, subject, count, flushes });
            let migration = proxy.traffic_between(reading.connected_at, reading.migrated_at);
            self.counts.push(Counted { subject, count, process: proxy.traffic(), migration });
        }
        world.remove(place).await
    }

    async fn trace(
        &mut self,
        bench: &Bench,
        world: &World,
        subject: Subject,
        count: u16,
    ) -> Result<()> {
        let place = world.create(Kind::Sqlite).await?;
        let summary = NamedTempFile::new()?;
        let mut command = bench.programs.traced(subject, &place.url, count, summary.path());
        let run = outcome(start(&mut command), &place.url).await;
        if let (Outcome::Done(_), Some(flushes)) = (run, flushes_in(summary.path())?) {
            self.flushes.push(Flushed { kind: place.kind, subject, count, flushes });
        }
        world.remove(place).await
    }

    /// Relative to the limit for the tools of that database.
    fn ratio(&self, kind: Kind, subject: Subject, count: u16) -> Option<Summary> {
        let of =
            |subject| summary(&self.runs, kind, subject, count, |reading| reading.migrate_seconds);
        Some(of(subject)?.times(1.0 / of(limit(kind))?.median))
    }

    fn lines(&self, kind: Kind) -> Lines {
        let series = super::subjects(&self.runs, kind).into_iter().map(|subject| {
            let points = counts(&self.runs).into_iter();
            let points = points.filter_map(|count| {
                Some((f64::from(count), self.ratio(kind, subject, count)?.median))
            });
            (subject, points.collect())
        });
        Lines {
            title: format!("Applying, {kind}"),
            x: "migrations",
            y: match kind {
                Kind::Postgres => "time relative to one message for each",
                Kind::Sqlite => "time relative to one transaction",
            },
            series: series.collect(),
        }
    }

    /// The difference of two runs, so that the fixed cost of a run does not count.
    fn round_trips_each(&self, subject: Subject) -> Option<f64> {
        let mut of: Vec<&Counted> =
            self.counts.iter().filter(|count| count.subject == subject).collect();
        of.sort_by_key(|count| count.count);
        let (few, many) = (of.first()?, of.last()?);
        let migrations = f64::from(many.count - few.count);
        (migrations > 0.0).then(|| {
            (many.migration.round_trips as f64 - few.migration.round_trips as f64) / migrations
        })
    }

    fn round_trips(&self) -> Comparison {
        let rows = super::subjects(&self.runs, Kind::Postgres)
            .into_iter()
            .map(|subject| (subject, vec![Summary::of(self.round_trips_each(subject))]));
        Comparison { columns: vec!["round trips".into()], rows: rows.collect() }
    }

    fn flushes(&self, kind: Kind) -> Comparison {
        let counts = counts(&self.runs);
        let rows = super::subjects(&self.runs, kind).into_iter().map(|subject| {
            let cells = counts.iter().map(|count| {
                let flushes = self.flushes_of(kind, subject, *count);
                Summary::of(flushes.map(|flushes| flushes as f64))
            });
            (subject, cells.collect())
        });
        Comparison { columns: counts.iter().map(u16::to_string).collect(), rows: rows.collect() }
    }

    fn flushes_of(&self, kind: Kind, subject: Subject, count: u16) -> Option<i64> {
        let mut of = self.flushes.iter();
        of.find(|of| (of.kind, of.subject, of.count) == (kind, subject, count)).map(|of| of.flushes)
    }
}

fn subjects() -> Vec<Subject> {
    let grouped =
        [Tool::SeaOrmMigration, Tool::Refinery].map(|tool| Subject { tool, mode: Mode::Grouped });
    Tool::MIGRATORS
        .map(Tool::usual)
        .into_iter()
        .chain(grouped)
        .chain([Subject::EACH, Subject::ONE])
        .collect()
}

/// The cheapest way that keeps each migration whole: on PostgreSQL one message at a time, on SQLite
/// all at once.
fn limit(kind: Kind) -> Subject {
    match kind {
        Kind::Postgres => Subject::EACH,
        Kind::Sqlite => Subject::ONE,
    }
}

/// `None` if there is no strace, and so no summary.
fn flushes_in(path: &Path) -> Result<Option<i64>> {
    Ok(sum_of_calls(&fs::read_to_string(path)?))
}

/// The number of calls is in the last column but one, or but two if calls have failed. The header
/// says where it ends.
fn sum_of_calls(summary: &str) -> Option<i64> {
    let header = summary.lines().next()?;
    let end = header.find("calls")? + "calls".len();
    let lines =
        summary.lines().filter(|line| line.ends_with("fsync") || line.ends_with("fdatasync"));
    Some(
        lines
            .filter_map(|line| line.get(..end)?.split_whitespace().last()?.parse::<i64>().ok())
            .sum(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calls_are_read_from_what_strace_writes() {
        let summary = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 75.00    0.000300         100         3         1 fsync
 25.00    0.000100         100         1           fdatasync
------ ----------- ----------- --------- --------- ----------------
100.00    0.000400         100         4         1 total
";
        assert_eq!(sum_of_calls(summary), Some(4));
        assert_eq!(sum_of_calls(""), None);
    }
}
