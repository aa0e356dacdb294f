//! A distant server: the cost of round trips.

use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::{Bench, Section, failures, summary};
use crate::{
    program::{Reading, Run},
    proxy::Proxy,
    render::{
        figure::Unit,
        page::{Comparison, Goal, Page},
        plot::{self, Bars},
    },
    statistics::{Summary, interleaved},
    subject::{Kind, Mode, Subject, Tool},
    world::{Place, World},
};

/// The delay of each direction.
const DELAY: Duration = Duration::from_millis(10);
/// How many migrations are applied already.
const NOTHING: u16 = 100;
/// How many migrations to apply.
const APPLY: u16 = 10;

#[derive(Debug, Serialize, Deserialize)]
pub struct Delay {
    /// Runs with nothing to do, and runs that apply. The number of migrations tells which.
    runs: Vec<Run>,
}

impl Section for Delay {
    const NAME: &'static str = "delay";

    async fn measure(bench: &Bench) -> Result<Self> {
        let world = World::new().await?;
        let proxy = Proxy::start(world.server.port(), DELAY).await?;
        let mut current = Vec::new();
        for tool in Tool::ALL {
            current.push((tool, current_place(bench, &world, tool).await?));
        }
        eprintln!("delay: {DELAY:?} each way");
        let mut runs = Vec::new();
        let all: Vec<_> = current.iter().collect();
        for (tool, place) in interleaved(&all, bench.scale(5, 2), &mut Bench::rng()) {
            let run = async |subject, place: &Place, count| {
                let outcome = bench.programs.run(subject, &proxy.url(&place.url), count).await;
                Run { kind: Kind::Postgres, subject, count, outcome }
            };
            runs.push(run(tool.usual(), place, NOTHING).await);
            let empty = world.create_in_peace(Kind::Postgres).await?;
            runs.push(run(applying(*tool), &empty, APPLY).await);
            world.remove(empty).await?;
        }
        Ok(Self { runs })
    }

    fn page(&self) -> Result<Page> {
        let mut page = Page::default();
        let comparison = |value: fn(Reading) -> f64| {
            let rows = Tool::ALL.map(|tool| {
                (tool.usual(), vec![self.nothing(tool, value), self.apply(tool, value)])
            });
            let columns =
                vec![format!("nothing to do with {NOTHING}"), format!("applying {APPLY}")];
            Comparison { columns, rows: rows.into() }
        };
        let whole = comparison(|reading| reading.connect_seconds + reading.migrate_seconds);
        page.comparison("with connecting", &whole, Unit::Seconds);
        let alone = comparison(|reading| reading.migrate_seconds);
        page.comparison("without connecting", &alone, Unit::Seconds);
        page.list(&failures(&self.runs));
        let panels = [0, 1].map(|column| Bars {
            title: format!("{}, connecting included", whole.columns[column]),
            x: "seconds",
            values: whole
                .rows
                .iter()
                .filter_map(|(subject, cells)| Some((*subject, cells[column]?.median)))
                .collect(),
        });
        page.plot("delay", "Time over a slow line", plot::bars(&panels)?);
        Ok(page)
    }

    fn goals(&self) -> Vec<Goal> {
        Vec::new()
    }
}

impl Delay {
    fn nothing(&self, tool: Tool, value: fn(Reading) -> f64) -> Option<Summary> {
        summary(&self.runs, Kind::Postgres, tool.usual(), NOTHING, value)
    }

    fn apply(&self, tool: Tool, value: fn(Reading) -> f64) -> Option<Summary> {
        summary(&self.runs, Kind::Postgres, applying(tool), APPLY, value)
    }
}

fn applying(tool: Tool) -> Subject {
    match tool {
        Tool::Limit => Subject { tool, mode: Mode::Each },
        tool => tool.usual(),
    }
}

/// A database in which the tool finds nothing to do.
async fn current_place(bench: &Bench, world: &World, tool: Tool) -> Result<Place> {
    let place = world.create(Kind::Postgres).await?;
    if tool == Tool::Limit {
        place.execute(ddl::MAKE_VERSION).await?;
    } else {
        bench.programs.run(tool.usual(), &place.url, NOTHING).await;
    }
    Ok(place)
}
