//! Many processes that start at once, like the replicas of an app.

use std::fmt;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use tokio::{task::JoinSet, time::Instant};

use super::{Bench, Section};
use crate::{
    program::{Outcome, outcome, start},
    render::{
        figure::Unit,
        page::{Comparison, Goal, Page},
        plot::{self, Bars},
    },
    statistics::{Summary, interleaved},
    subject::{Kind, Tool},
    world::{Place, World},
};

const MIGRATIONS: u16 = 20;

#[derive(Debug, Serialize, Deserialize)]
pub struct Replicas {
    crowds: Vec<Crowd>,
}

/// The results of processes that started at once.
#[derive(Debug, Serialize, Deserialize)]
struct Crowd {
    kind: Kind,
    tool: Tool,
    state: State,
    processes: usize,
    succeeded: usize,
    /// The time until the last that succeeded was ready.
    seconds: Option<f64>,
    /// Each error once.
    errors: Vec<String>,
}

/// The state of the database before they start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Empty,
    Current,
}

const STATES: [(Kind, State); 4] = [
    (Kind::Postgres, State::Empty),
    (Kind::Postgres, State::Current),
    (Kind::Sqlite, State::Empty),
    (Kind::Sqlite, State::Current),
];

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "empty",
            Self::Current => "current",
        })
    }
}

impl Section for Replicas {
    const NAME: &'static str = "replicas";

    async fn measure(bench: &Bench) -> Result<Self> {
        let world = World::new().await?;
        let (subjects, mut crowds) = (subjects(bench, &world).await?, Vec::new());
        for &(processes, repetitions) in
            bench.scale(&[(1, 7), (10, 5), (50, 3)][..], &[(1, 2), (50, 1)])
        {
            eprintln!("replicas: {processes} at once");
            for subject in
                interleaved(&subjects.iter().collect::<Vec<_>>(), repetitions, &mut Bench::rng())
            {
                crowds.push(subject.crowd(bench, &world, processes).await?);
            }
        }
        Ok(Self { crowds })
    }

    fn page(&self) -> Result<Page> {
        let mut page = Page::default();
        for (kind, state) in STATES {
            self.table(&mut page, kind, state);
        }
        page.list(&self.errors());
        let most = self.sizes().last().copied().unwrap_or(0);
        page.comparison(
            &format!("time of {most} at once, relative to one alone"),
            &self.ratios(most),
            Unit::Ratio,
        );
        let panels = Kind::ALL.map(|kind| self.bars(kind, most));
        page.plot(
            "replicas",
            "How many of the processes that start at once succeed",
            plot::bars(&panels)?,
        );
        Ok(page)
    }

    fn goals(&self) -> Vec<Goal> {
        let most = self.sizes().last().copied().unwrap_or(0);
        let worst = |kind| {
            let ratios = [State::Empty, State::Current]
                .map(|state| self.ratio(kind, state, Tool::Onerow, most));
            ratios.into_iter().try_fold(0.0, |worst: f64, ratio| Some(worst.max(ratio?.median)))
        };
        let beside_bare = |kind| {
            let of = |tool| self.seconds(kind, State::Current, tool, most);
            Some(of(Tool::Onerow)?.median / of(Tool::Limit)?.median)
        };
        let alone = "the most replicas at once, until all are ready, relative to one alone";
        let bare =
            "the most replicas at once on a current database, relative to as many bare connections";
        vec![
            Goal::at_most(format!("{alone}, PostgreSQL"), 1.5, Unit::Ratio, worst(Kind::Postgres)),
            Goal::at_most(format!("{alone}, SQLite"), 1.5, Unit::Ratio, worst(Kind::Sqlite)),
            Goal::at_most(
                format!("{bare}, PostgreSQL"),
                1.5,
                Unit::Ratio,
                beside_bare(Kind::Postgres),
            ),
            Goal::at_most(format!("{bare}, SQLite"), 1.5, Unit::Ratio, beside_bare(Kind::Sqlite)),
        ]
    }
}

impl Replicas {
    fn of(
        &self,
        kind: Kind,
        state: State,
        tool: Tool,
        processes: usize,
    ) -> impl Iterator<Item = &Crowd> {
        let key = (kind, state, tool, processes);
        self.crowds
            .iter()
            .filter(move |crowd| (crowd.kind, crowd.state, crowd.tool, crowd.processes) == key)
    }

    /// The numbers of processes, from one up.
    fn sizes(&self) -> Vec<usize> {
        let mut sizes: Vec<_> = self.crowds.iter().map(|crowd| crowd.processes).collect();
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    }

    /// How many succeeded in all repetitions, and of how many.
    fn succeeded(&self, kind: Kind, state: State, tool: Tool, processes: usize) -> (usize, usize) {
        self.of(kind, state, tool, processes).fold((0, 0), |(succeeded, all), crowd| {
            (succeeded + crowd.succeeded, all + crowd.processes)
        })
    }

    /// The time until the last was ready, for crowds in which all were.
    fn seconds(&self, kind: Kind, state: State, tool: Tool, processes: usize) -> Option<Summary> {
        let whole = self
            .of(kind, state, tool, processes)
            .filter(|crowd| crowd.succeeded == crowd.processes);
        Summary::of(whole.filter_map(|crowd| crowd.seconds))
    }

    fn ratio(&self, kind: Kind, state: State, tool: Tool, processes: usize) -> Option<Summary> {
        let alone = self.seconds(kind, state, tool, 1)?.median;
        Some(self.seconds(kind, state, tool, processes)?.times(1.0 / alone))
    }

    fn ratios(&self, processes: usize) -> Comparison {
        let rows = Tool::ALL.map(|tool| {
            (
                tool.usual(),
                STATES.map(|(kind, state)| self.ratio(kind, state, tool, processes)).into(),
            )
        });
        Comparison {
            columns: STATES.map(|(kind, state)| format!("{kind}, {state}")).into(),
            rows: rows.into(),
        }
    }

    fn table(&self, page: &mut Page, kind: Kind, state: State) {
        let sizes = self.sizes();
        let tools =
            || Tool::ALL.into_iter().filter(|tool| self.succeeded(kind, state, *tool, 1).1 > 0);
        let succeeded = tools().map(|tool| {
            let cells = sizes.iter().map(|size| {
                let (succeeded, all) = self.succeeded(kind, state, tool, *size);
                format!("{succeeded} of {all}")
            });
            [tool.name().to_owned()].into_iter().chain(cells).collect::<Vec<_>>()
        });
        let head = format!("{kind}, {state}: processes that succeed");
        let columns: Vec<String> = sizes.iter().map(|size| format!("{size} at once")).collect();
        let heads: Vec<&str> =
            [head.as_str()].into_iter().chain(columns.iter().map(String::as_str)).collect();
        page.table(&heads, &succeeded.collect::<Vec<_>>());
        let rows = tools().map(|tool| {
            (
                tool.usual(),
                sizes.iter().map(|size| self.seconds(kind, state, tool, *size)).collect(),
            )
        });
        let times = Comparison { columns, rows: rows.collect() };
        page.comparison(
            &format!("{kind}, {state}: until the last is ready, if all succeed"),
            &times,
            Unit::Seconds,
        );
    }

    fn errors(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        for kind in Kind::ALL {
            for tool in Tool::MIGRATORS {
                let of =
                    self.crowds.iter().filter(|crowd| (crowd.kind, crowd.tool) == (kind, tool));
                let mut errors: Vec<&str> =
                    of.flat_map(|crowd| &crowd.errors).map(String::as_str).collect();
                errors.sort_unstable();
                errors.dedup();
                if let Some(error) = errors.first() {
                    let name = tool.name();
                    let different = errors.len();
                    sentences.push(format!(
                        "{kind}: {name} fails, for instance with `{error}` (different errors: \
                         {different})"
                    ));
                }
            }
        }
        sentences
    }

    fn bars(&self, kind: Kind, processes: usize) -> Bars {
        let values = Tool::MIGRATORS.map(|tool| {
            let (succeeded, all) = self.succeeded(kind, State::Empty, tool, processes);
            (tool.usual(), 100.0 * succeeded as f64 / all.max(1) as f64)
        });
        Bars {
            title: format!("{processes} at once on an empty database, {kind}"),
            x: "% that succeed",
            values: values.into(),
        }
    }
}

/// A tool, and the database of its processes.
struct Subject {
    kind: Kind,
    tool: Tool,
    /// The database in which everything is applied; if there is none, each crowd has its own empty
    /// one.
    current: Option<Place>,
}

async fn subjects(bench: &Bench, world: &World) -> Result<Vec<Subject>> {
    let mut subjects = Vec::new();
    for kind in Kind::ALL {
        for tool in Tool::MIGRATORS {
            subjects.push(Subject { kind, tool, current: None });
            let place = world.create(kind).await?;
            match bench.programs.run(tool.usual(), &place.url, MIGRATIONS).await {
                Outcome::Done(_) => subjects.push(Subject { kind, tool, current: Some(place) }),
                Outcome::Failed(error) => eprintln!("replicas: {kind}, {}: {error}", tool.name()),
            }
        }
        // This is the machine's own limit: the time of so many processes that read one row.
        let place = world.create(kind).await?;
        place.execute(ddl::MAKE_VERSION).await?;
        subjects.push(Subject { kind, tool: Tool::Limit, current: Some(place) });
    }
    Ok(subjects)
}

impl Subject {
    async fn crowd(&self, bench: &Bench, world: &World, processes: usize) -> Result<Crowd> {
        if let Some(place) = &self.current {
            return Ok(crowd(bench, place, self.tool, State::Current, processes).await);
        }
        let place = world.create_in_peace(self.kind).await?;
        let crowd = crowd(bench, &place, self.tool, State::Empty, processes).await;
        world.remove(place).await?;
        Ok(crowd)
    }
}

/// Starts the processes one after the other without waiting, then waits for all.
async fn crowd(bench: &Bench, place: &Place, tool: Tool, state: State, processes: usize) -> Crowd {
    let started = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..processes {
        let child = start(&mut bench.programs.command(tool.usual(), &place.url, MIGRATIONS));
        let url = place.url.clone();
        running.spawn(async move { (outcome(child, &url).await, started.elapsed()) });
    }
    let mut crowd = Crowd {
        kind: place.kind,
        tool,
        state,
        processes,
        succeeded: 0,
        seconds: None,
        errors: Vec::new(),
    };
    while let Some(Ok((outcome, after))) = running.join_next().await {
        match outcome {
            Outcome::Done(_) => {
                crowd.succeeded += 1;
                crowd.seconds = Some(after.as_secs_f64());
            }
            Outcome::Failed(error) => {
                if !crowd.errors.contains(&error) {
                    crowd.errors.push(error);
                }
            }
        }
    }
    crowd
}
