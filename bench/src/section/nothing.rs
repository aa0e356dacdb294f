//! Nothing to do: the price of each start of an app, as long as the app lives.

use std::{fs, path::Path, time::Duration};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::{Bench, Counted, Section, by_count, counts, failures, summary};
use crate::{
    program::{Outcome, Reading, Run},
    proxy::Proxy,
    render::{
        figure::Unit,
        page::{Found, Goal, Page},
        plot::{self, Lines},
    },
    statistics::interleaved,
    subject::{Kind, Subject, Tool},
    world::{Place, World},
};

/// How many migrations are applied.
const COUNTS: &[u16] = &[10, 100, 1_000, 10_000];
const QUICK_COUNTS: &[u16] = &[10, 100];

#[derive(Debug, Serialize, Deserialize)]
pub struct Nothing {
    pub runs: Vec<Run>,
    counts: Vec<Counted>,
}

impl Section for Nothing {
    const NAME: &'static str = "nothing";

    async fn measure(bench: &Bench) -> Result<Self> {
        let world = World::new().await?;
        let mut subjects = Vec::new();
        for kind in Kind::ALL {
            for tool in Tool::ALL {
                subjects.push((tool, world.create(kind).await?));
            }
        }
        let (mut measured, mut before) = (Self { runs: Vec::new(), counts: Vec::new() }, 0);
        for &count in bench.scale(COUNTS, QUICK_COUNTS) {
            eprintln!("nothing: preparing databases with {count} migrations applied");
            subjects = measured.prepare(bench, &world, subjects, before, count).await?;
            before = count;
            measured.count(bench, &world, &subjects, count).await?;
            measured.time(bench, &subjects, count).await;
        }
        Ok(measured)
    }

    fn page(&self) -> Result<Page> {
        let mut page = Page::default();
        for kind in Kind::ALL {
            let whole = by_count(&self.runs, kind, whole);
            page.comparison("time with connecting", &whole, Unit::Milliseconds);
            let alone = by_count(&self.runs, kind, |reading| reading.migrate_seconds);
            page.comparison("time without connecting", &alone, Unit::Milliseconds);
        }
        page.list(&failures(&self.runs));
        let panels = Kind::ALL.map(|kind| self.lines(kind));
        page.plot("nothing", "Time with nothing to do", plot::lines(&panels)?);
        self.traffic_table(&mut page);
        Ok(page)
    }

    fn goals(&self) -> Vec<Goal> {
        let ours = self.counts.iter().filter(|count| count.subject == Subject::ONEROW);
        let most =
            ours.map(|count| (count.migration.statements, count.migration.round_trips)).max();
        let worst = |kind| {
            let ratios = counts(&self.runs).into_iter().filter_map(|count| {
                Some(
                    self.time_of(kind, Tool::Onerow, count)?
                        / self.time_of(kind, Tool::Limit, count)?,
                )
            });
            ratios.reduce(f64::max)
        };
        vec![
            Goal {
                what: "nothing to do, PostgreSQL: at any number of migrations".into(),
                wanted: "1 statement, 1 round trip".into(),
                found: most.map(|(statements, round_trips)| Found {
                    text: format!("{statements} and {round_trips}"),
                    is_reached: (statements, round_trips) == (1, 1),
                }),
            },
            Goal::at_most(
                "nothing to do, PostgreSQL: time without connecting, relative to the bare \
                 connection, at worst",
                1.2,
                Unit::Ratio,
                worst(Kind::Postgres),
            ),
            Goal::at_most(
                "nothing to do, SQLite: time with connecting, relative to the bare connection, \
                 at worst",
                1.2,
                Unit::Ratio,
                worst(Kind::Sqlite),
            ),
        ]
    }
}

impl Nothing {
    /// Has each tool apply what is missing, without waiting for the disk, which is not measured
    /// here. A tool that fails is left out from then on.
    async fn prepare(
        &mut self,
        bench: &Bench,
        world: &World,
        subjects: Vec<(Tool, Place)>,
        before: u16,
        count: u16,
    ) -> Result<Vec<(Tool, Place)>> {
        world.server.set_fsync(false).await?;
        let mut prepared = Vec::new();
        for (tool, place) in subjects {
            let work = async |place: &Place| apply(bench, tool, place, before, count).await;
            let outcome = match place.path() {
                Some(path) => in_memory(&path, work).await?,
                None => work(&place).await?,
            };
            match outcome {
                None => prepared.push((tool, place)),
                Some(outcome) => {
                    self.runs.push(Run { kind: place.kind, subject: tool.usual(), count, outcome });
                }
            }
        }
        world.server.set_fsync(true).await?;
        Ok(prepared)
    }

    /// Counts the traffic through the proxy once, because it is the same each time.
    async fn count(
        &mut self,
        bench: &Bench,
        world: &World,
        subjects: &[(Tool, Place)],
        count: u16,
    ) -> Result<()> {
        for (tool, place) in subjects.iter().filter(|(_, place)| place.kind == Kind::Postgres) {
            let proxy = Proxy::start(world.server.port(), Duration::ZERO).await?;
            let subject = tool.usual();
            let run = bench.programs.run(subject, &proxy.url(&place.url), count).await;
            if let Some(reading) = run.reading() {
                let migration = proxy.traffic_between(reading.connected_at, reading.migrated_at);
                self.counts.push(Counted { subject, count, process: proxy.traffic(), migration });
            }
        }
        Ok(())
    }

    async fn time(&mut self, bench: &Bench, subjects: &[(Tool, Place)], count: u16) {
        let all: Vec<_> = subjects.iter().collect();
        for (tool, place) in interleaved(&all, bench.scale(21, 3), &mut Bench::rng()) {
            let outcome = bench.programs.run(tool.usual(), &place.url, count).await;
            self.runs.push(Run { kind: place.kind, subject: tool.usual(), count, outcome });
        }
    }

    /// The time that is compared: on PostgreSQL without connecting, which costs each tool much more
    /// than the rest. On SQLite with connecting, because some tools read the file's schema then,
    /// and others later.
    fn time_of(&self, kind: Kind, tool: Tool, count: u16) -> Option<f64> {
        let value = match kind {
            Kind::Postgres => |reading: Reading| reading.migrate_seconds,
            Kind::Sqlite => whole,
        };
        Some(summary(&self.runs, kind, tool.usual(), count, value)?.median)
    }

    fn lines(&self, kind: Kind) -> Lines {
        let series = Tool::ALL.map(|tool| {
            let points = counts(&self.runs).into_iter().filter_map(|count| {
                Some((f64::from(count), self.time_of(kind, tool, count)? * 1000.0))
            });
            (tool.usual(), points.collect())
        });
        let connecting = match kind {
            Kind::Postgres => "without connecting",
            Kind::Sqlite => "with connecting",
        };
        Lines {
            title: format!("Nothing to do, {kind}, {connecting}"),
            x: "migrations applied",
            y: "ms",
            series: series.into(),
        }
    }

    fn traffic_table(&self, page: &mut Page) {
        let few = self.counts.iter().map(|count| count.count).min().unwrap_or(0);
        let many = self.counts.iter().map(|count| count.count).max().unwrap_or(0);
        let (few_head, many_head) = (format!("bytes at {few}"), format!("bytes at {many}"));
        let rows = Tool::ALL.into_iter().filter_map(|tool| {
            let of = |count| {
                self.counts.iter().find(|of| (of.subject, of.count) == (tool.usual(), count))
            };
            let (few, many) = (of(few)?, of(many)?);
            Some(vec![
                tool.name().to_owned(),
                many.migration.statements.to_string(),
                many.migration.round_trips.to_string(),
                many.process.statements.to_string(),
                many.process.round_trips.to_string(),
                Unit::Count.write(few.migration.bytes() as f64),
                Unit::Count.write(many.migration.bytes() as f64),
            ])
        });
        let head = [
            "PostgreSQL",
            "statements",
            "round trips",
            "… of the process",
            "… of the process",
            &few_head,
            &many_head,
        ];
        page.table(&head, &rows.collect::<Vec<_>>());
    }
}

fn whole(reading: Reading) -> f64 {
    reading.connect_seconds + reading.migrate_seconds
}

/// `None` if all is applied; otherwise how the program ended.
async fn apply(
    bench: &Bench,
    tool: Tool,
    place: &Place,
    before: u16,
    count: u16,
) -> Result<Option<Outcome>> {
    if tool != Tool::Limit {
        let outcome = bench.programs.run(tool.usual(), &place.url, count).await;
        return Ok(outcome.reading().is_none().then_some(outcome));
    }
    if before == 0 {
        place.execute(ddl::MAKE_VERSION).await?;
    }
    let texts: Vec<String> = (before..count).map(ddl::sql).collect();
    // All in one transaction would need a lock for each table.
    for texts in texts.chunks(500) {
        place.execute(&format!("BEGIN; {}; COMMIT", texts.join(";"))).await?;
    }
    Ok(None)
}

/// Works on a copy of the file on a disk where flushing costs nothing, and copies it back.
async fn in_memory<T>(path: &Path, work: impl AsyncFn(&Place) -> Result<T>) -> Result<T> {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { TempDir::new_in(memory)? } else { TempDir::new()? };
    let copy = dir.path().join("database");
    if path.exists() {
        fs::copy(path, &copy)?;
    }
    let worked = work(&Place::file(&copy)).await?;
    fs::copy(&copy, path)?;
    Ok(worked)
}
