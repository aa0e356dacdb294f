//! A run is killed: does the next one finish?

use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::{Bench, Section};
use crate::{
    program::{Outcome, start},
    render::{
        page::{Found, Goal, Page},
        plot::{self, Bars},
    },
    statistics::{Summary, interleaved},
    subject::{Kind, Tool},
    world::{Place, World},
};

const MIGRATIONS: u16 = 20;

/// For each run that is killed in time: how many others may be over too early.
const PATIENCE: usize = 10;

#[derive(Debug, Serialize, Deserialize)]
pub struct Kills {
    kills: Vec<Kill>,
}

/// A run that was killed while it ran, and the run after it.
#[derive(Debug, Serialize, Deserialize)]
struct Kill {
    kind: Kind,
    tool: Tool,
    after_seconds: f64,
    /// Why the next run did not finish the database.
    broken: Option<String>,
}

impl Section for Kills {
    const NAME: &'static str = "kills";

    async fn measure(bench: &Bench) -> Result<Self> {
        let world = World::new().await?;
        let mut subjects = Vec::new();
        for kind in Kind::ALL {
            for tool in Tool::MIGRATORS {
                subjects.push((kind, tool, length(bench, &world, kind, tool).await?));
            }
        }
        let (wanted, mut rng) = (bench.scale(50, 3), Bench::rng());
        let mut kills: Vec<Kill> = Vec::new();
        for (kind, tool, length) in interleaved(&subjects, wanted * PATIENCE, &mut rng) {
            let so_far = kills.iter().filter(|kill| (kill.kind, kill.tool) == (kind, tool)).count();
            if so_far < wanted {
                let after = length.mul_f64(rng.f64());
                kills.extend(kill(bench, &world, kind, tool, after).await?);
            }
        }
        Ok(Self { kills })
    }

    fn page(&self) -> Result<Page> {
        let mut page = Page::default();
        let rows = Tool::MIGRATORS.map(|tool| {
            let cells = Kind::ALL.map(|kind| {
                let (finished, all) = self.finished(kind, tool);
                format!("{finished} of {all}")
            });
            [tool.name().to_owned()].into_iter().chain(cells).collect::<Vec<_>>()
        });
        let columns = Kind::ALL.map(|kind| kind.to_string());
        page.table(&["finished by the next run", &columns[0], &columns[1]], &rows);
        page.list(&self.errors());
        let panels = Kind::ALL.map(|kind| self.bars(kind));
        page.plot("kills", "How many databases the next run finishes", plot::bars(&panels)?);
        Ok(page)
    }

    fn goals(&self) -> Vec<Goal> {
        let ours = Kind::ALL.map(|kind| self.finished(kind, Tool::Onerow));
        let (finished, all) = ours.iter().fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
        vec![Goal {
            what: "killed runs that the next run finishes, on both databases".into(),
            wanted: "all".into(),
            found: (all > 0).then(|| Found {
                text: format!("{finished} of {all}"),
                is_reached: finished == all,
            }),
        }]
    }
}

impl Kills {
    fn of(&self, kind: Kind, tool: Tool) -> impl Iterator<Item = &Kill> {
        self.kills.iter().filter(move |kill| (kill.kind, kill.tool) == (kind, tool))
    }

    fn finished(&self, kind: Kind, tool: Tool) -> (usize, usize) {
        let finished = self.of(kind, tool).filter(|kill| kill.broken.is_none()).count();
        (finished, self.of(kind, tool).count())
    }

    fn errors(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        for kind in Kind::ALL {
            for tool in Tool::MIGRATORS {
                if let Some(error) = self.of(kind, tool).find_map(|kill| kill.broken.as_ref()) {
                    sentences.push(format!(
                        "{kind}: after a killed run of {}, for instance `{error}`",
                        tool.name()
                    ));
                }
            }
        }
        sentences
    }

    fn bars(&self, kind: Kind) -> Bars {
        let values = Tool::MIGRATORS.map(|tool| {
            let (finished, all) = self.finished(kind, tool);
            (tool.usual(), 100.0 * finished as f64 / all.max(1) as f64)
        });
        Bars {
            title: format!("After SIGKILL, {kind}"),
            x: "% that the next run finishes",
            values: values.into(),
        }
    }
}

/// The length of an undisturbed run, with the start of its process.
async fn length(bench: &Bench, world: &World, kind: Kind, tool: Tool) -> Result<Duration> {
    let mut lengths = Vec::new();
    for _ in 0..3 {
        let place = world.create_in_peace(kind).await?;
        let started = Instant::now();
        bench.programs.run(tool.usual(), &place.url, MIGRATIONS).await;
        lengths.push(started.elapsed().as_secs_f64());
        world.remove(place).await?;
    }
    Ok(Duration::from_secs_f64(Summary::of(lengths).map_or(0.0, |summary| summary.median)))
}

/// `None` if the run was over before.
async fn kill(
    bench: &Bench,
    world: &World,
    kind: Kind,
    tool: Tool,
    after: Duration,
) -> Result<Option<Kill>> {
    let place = world.create(kind).await?;
    let mut child = start(&mut bench.programs.command(tool.usual(), &place.url, MIGRATIONS))?;
    sleep(after).await;
    let was_running = child.try_wait()?.is_none();
    child.kill().await?;
    let kill = if was_running {
        let broken = next_run(bench, &place, tool).await?;
        Some(Kill { kind, tool, after_seconds: after.as_secs_f64(), broken })
    } else {
        None
    };
    world.remove(place).await?;
    Ok(kill)
}

/// The defect of the database after the next run, if there is one.
async fn next_run(bench: &Bench, place: &Place, tool: Tool) -> Result<Option<String>> {
    if let Outcome::Failed(error) = bench.programs.run(tool.usual(), &place.url, MIGRATIONS).await {
        return Ok(Some(error));
    }
    let is_complete = place.is_complete(MIGRATIONS).await?;
    Ok((!is_complete).then(|| "it succeeds, and a table or an index is missing".to_owned()))
}
