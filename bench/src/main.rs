//! Measures onerow beside other migrators: [`section`] has the questions, [`subject`] the tools.
//!
//! | module | holds |
//! |---|---|
//! | `subject` | the tools and the databases |
//! | `program` | the programs, one for each tool: built, started, read |
//! | `world`, `server` | the places where databases are made and removed |
//! | `proxy` | the traffic between a program and a server: counted, and delayed |
//! | `statistics` | medians, and the order of measuring |
//! | `section` | the questions, each a module: its measuring, its data, its tables and plots |
//! | `results`, `machine` | the raw data, and the machine of the measurement |
//! | `render` | figures, tables, plots, and the README that they go into |

mod machine;
mod program;
mod proxy;
mod render;
mod report;
mod results;
mod section;
mod server;
mod statistics;
mod subject;
mod world;

use std::{path::PathBuf, time::Instant};

use anyhow::Result;
use clap::{Parser, ValueEnum};

use crate::{
    machine::Machine,
    program::{Programs, home},
    results::Recorded,
    section::{
        Bench, Section, apply::Apply, build::Build, delay::Delay, kills::Kills, nothing::Nothing,
        replicas::Replicas,
    },
};

/// Measures onerow beside other migrators, and writes the results down.
#[derive(Parser)]
struct Options {
    /// Measure these sections; the others keep their older results
    #[arg(long, value_delimiter = ',', default_values_t = Name::ALL)]
    only: Vec<Name>,

    /// Use small numbers, which only show that all works; the results go to `target/quick`
    #[arg(long)]
    quick: bool,

    /// Only draw the tables and plots of older results
    #[arg(long, conflicts_with = "only")]
    render: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    Nothing,
    Apply,
    Replicas,
    Kills,
    Delay,
    Build,
    /// The same runs as `nothing`.
    Memory,
}

impl Name {
    /// The longest comes last, because it can be left out.
    const ALL: [Self; 6] =
        [Self::Nothing, Self::Apply, Self::Replicas, Self::Kills, Self::Delay, Self::Build];
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.to_possible_value().map_or(Ok(()), |value| f.write_str(value.get_name()))
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    let dir = if options.quick { home().join("target/quick") } else { home().to_owned() };
    if !options.render {
        measure(&options, dir.join("results")).await?;
    }
    report::write(&dir)
}

async fn measure(options: &Options, results: PathBuf) -> Result<()> {
    let machine = Machine::look().await?;
    let bench = Bench { programs: Programs::build().await?, is_quick: options.quick };
    let runner = Runner { machine, bench, results };
    for name in Name::ALL {
        let is_wanted = options.only.contains(&name)
            || name == Name::Nothing && options.only.contains(&Name::Memory);
        if is_wanted {
            runner.run(name).await?;
        }
    }
    Ok(())
}

struct Runner {
    machine: Machine,
    bench: Bench,
    results: PathBuf,
}

impl Runner {
    async fn run(&self, name: Name) -> Result<()> {
        match name {
            Name::Nothing | Name::Memory => self.record::<Nothing>().await,
            Name::Apply => self.record::<Apply>().await,
            Name::Replicas => self.record::<Replicas>().await,
            Name::Kills => self.record::<Kills>().await,
            Name::Delay => self.record::<Delay>().await,
            Name::Build => self.record::<Build>().await,
        }
    }

    async fn record<S: Section>(&self) -> Result<()> {
        let started = Instant::now();
        let data = S::measure(&self.bench).await?;
        let seconds = started.elapsed().as_secs_f64();
        eprintln!("{}: measured in {seconds:.0} s", S::NAME);
        let machine = self.machine.clone();
        Recorded { machine, is_quick: self.bench.is_quick, seconds, data }
            .write(&self.results, S::NAME)
    }
}
