//! The cost of compiling a tool and shipping it.

use std::{collections::BTreeSet, fs, path::Path, time::Instant};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::{Bench, Section};
use crate::{
    program::cargo,
    render::{
        figure::Unit,
        page::{Found, Goal, Page},
        plot::{self, Bars},
    },
    subject::Tool,
};

/// The packages of this workspace that are compiled with each tool.
const OURS: [&str; 2] = ["ddl", "stopwatch"];

#[derive(Debug, Serialize, Deserialize)]
pub struct Build {
    programs: Vec<Program>,
}

/// The smallest program with a tool.
#[derive(Debug, Serialize, Deserialize)]
struct Program {
    tool: Tool,
    features: Features,
    crates: usize,
    /// The time of a build from nothing, if there was one.
    seconds: Option<f64>,
    /// The size of the stripped program.
    bytes: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Features {
    /// Only PostgreSQL's driver.
    Postgres,
    /// The same, and SQLite with its driver.
    Both,
    /// The same, and the tool's default features.
    Defaults,
}

impl Features {
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Postgres => &["--no-default-features"],
            Self::Both => &[],
            Self::Defaults => &["--features", "defaults"],
        }
    }
}

impl Section for Build {
    const NAME: &'static str = "build";

    async fn measure(bench: &Bench) -> Result<Self> {
        let mut programs = Vec::new();
        for tool in Tool::ALL {
            let bytes = Some(fs::metadata(bench.programs.path(tool))?.len());
            let crates = crates(tool, Features::Both).await?;
            programs.push(Program { tool, features: Features::Both, crates, seconds: None, bytes });

            eprintln!("build: {}", tool.name());
            let crates = self::crates(tool, Features::Postgres).await?;
            let built =
                if bench.is_quick { None } else { Some(build(tool, Features::Postgres).await?) };
            let (seconds, bytes) = built.unzip();
            programs.push(Program { tool, features: Features::Postgres, crates, seconds, bytes });
        }
        let (tool, features) = (Tool::SeaOrmMigration, Features::Defaults);
        let crates = crates(tool, features).await?;
        programs.push(Program { tool, features, crates, seconds: None, bytes: None });
        Ok(Self { programs })
    }

    fn page(&self) -> Result<Page> {
        let mut page = Page::default();
        let rows = Tool::ALL.map(|tool| {
            let (postgres, both) =
                (self.of(tool, Features::Postgres), self.of(tool, Features::Both));
            vec![
                tool.name().to_owned(),
                written(postgres.map(|program| program.crates as f64), Unit::Count),
                written(postgres.and_then(|program| program.seconds), Unit::Seconds),
                written(size(postgres), Unit::Mebibytes),
                written(both.map(|program| program.crates as f64), Unit::Count),
                written(size(both), Unit::Mebibytes),
            ]
        });
        page.table(
            &["", "PostgreSQL: crates", "clean build", "stripped", "both: crates", "stripped"],
            &rows,
        );
        if let Some(defaults) = self.of(Tool::SeaOrmMigration, Features::Defaults) {
            page.paragraph(&format!(
                "With its default features, which bring its command line, sea-orm-migration is {} \
                 crates.",
                defaults.crates
            ));
        }
        page.list(&self.not_first());
        page.plot("build", "Crates and clean builds, PostgreSQL only", plot::bars(&self.panels())?);
        Ok(page)
    }

    fn goals(&self) -> Vec<Goal> {
        let ours = self.of(Tool::Onerow, Features::Both);
        let theirs = self.of(Tool::SeaOrmMigration, Features::Defaults);
        vec![Goal {
            what:
                "crates with both drivers, no more than sea-orm-migration has with default features"
                    .into(),
            wanted: theirs.map_or_else(String::new, |theirs| format!("at most {}", theirs.crates)),
            found: ours.zip(theirs).map(|(ours, theirs)| Found {
                text: ours.crates.to_string(),
                is_reached: ours.crates <= theirs.crates,
            }),
        }]
    }
}

impl Build {
    fn of(&self, tool: Tool, features: Features) -> Option<&Program> {
        self.programs.iter().find(|program| (program.tool, program.features) == (tool, features))
    }

    /// A sentence for each column in which another migrator has less.
    fn not_first(&self) -> Vec<String> {
        let columns: [(&str, Unit, Value); 3] = [
            ("crates", Unit::Count, |program| Some(program.crates as f64)),
            ("clean build", Unit::Seconds, |program| program.seconds),
            ("stripped", Unit::Mebibytes, |program| size(Some(program))),
        ];
        let sentences = columns.into_iter().filter_map(|(name, unit, value)| {
            let of = |tool| self.of(tool, Features::Postgres).and_then(value);
            let ours = of(Tool::Onerow)?;
            let others = Tool::MIGRATORS.into_iter().filter_map(|tool| Some((tool, of(tool)?)));
            let (tool, least) = others.min_by(|(_, one), (_, other)| one.total_cmp(other))?;
            let (least_text, ours_text) = (unit.write(least), unit.write(ours));
            (least < ours).then(|| {
                format!(
                    "PostgreSQL, {name}: {} is first, with {least_text}; onerow has {ours_text}.",
                    tool.name()
                )
            })
        });
        sentences.collect()
    }

    fn panels(&self) -> Vec<Bars> {
        let panel = |title: &str, x, value: Value| Bars {
            title: format!("{title}, PostgreSQL only"),
            x,
            values: Tool::ALL
                .into_iter()
                .filter_map(|tool| Some((tool.usual(), value(self.of(tool, Features::Postgres)?)?)))
                .collect(),
        };
        vec![
            panel("Crates", "crates", |program| Some(program.crates as f64)),
            panel("Clean release build", "seconds", |program| program.seconds),
        ]
    }
}

/// A figure of a program, if it was measured.
type Value = fn(&Program) -> Option<f64>;

/// In KiB.
fn size(program: Option<&Program>) -> Option<f64> {
    program.and_then(|program| program.bytes).map(|bytes| bytes as f64 / 1024.0)
}

fn written(value: Option<f64>, unit: Unit) -> String {
    value.map_or_else(|| "–".to_owned(), |value| unit.write(value))
}

/// The time of a build from nothing, and the size of the program.
async fn build(tool: Tool, features: Features) -> Result<(f64, u64)> {
    let dir = TempDir::new()?;
    let mut command =
        cargo(&["build", "--release", "--quiet", "--jobs", "2", "--package", tool.program()]);
    command.args(features.arguments()).arg("--target-dir").arg(dir.path());
    let started = Instant::now();
    ensure!(command.status().await?.success(), "{} does not compile", tool.program());
    let seconds = started.elapsed().as_secs_f64();
    Ok((seconds, size_of(&dir.path().join("release").join(tool.program()))?))
}

fn size_of(program: &Path) -> Result<u64> {
    Ok(fs::metadata(program).with_context(|| program.display().to_string())?.len())
}

/// How many crates are compiled for the program and its build.
async fn crates(tool: Tool, features: Features) -> Result<usize> {
    let arguments =
        ["tree", "--prefix", "none", "--edges", "normal,build", "--package", tool.program()];
    let output = cargo(&arguments).args(features.arguments()).output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(count_crates(&String::from_utf8_lossy(&output.stdout), tool.program()))
}

/// Counts each version of a crate once.
fn count_crates(tree: &str, program: &str) -> usize {
    let crates = tree.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (name, version) = (words.next()?, words.next()?);
        (name != program && !OURS.contains(&name)).then_some((name, version))
    });
    crates.collect::<BTreeSet<_>>().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_counts_once_for_each_version_and_ours_do_not() {
        let tree = "\
with_sqlx v0.1.0 (/bench/programs/sqlx)
ddl v0.1.0 (/bench/ddl)
syn v2.0.1
syn v2.0.1 (*)
syn v3.0.0
serde_derive v1.0.0 (proc-macro)

";
        assert_eq!(count_crates(tree, "with_sqlx"), 3);
    }
}
