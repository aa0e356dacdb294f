//! The README and its plots, from the raw data.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    machine::Machine,
    program::home,
    render::{
        page::{Goal, Page},
        readme,
    },
    results::Recorded,
    section::{
        Section, apply::Apply, build::Build, delay::Delay, kills::Kills, memory, nothing::Nothing,
        replicas::Replicas,
    },
};

/// Fills in the README's tables and writes the plots into this directory.
pub fn write(dir: &Path) -> Result<()> {
    let text = fs::read_to_string(home().join("README.md")).context("README.md")?;
    let mut report =
        Report { dir: dir.to_owned(), readme: text, machines: Vec::new(), goals: Vec::new() };
    fs::create_dir_all(dir.join("plots"))?;
    if let Some(nothing) = report.section::<Nothing>()? {
        report.page(memory::NAME, &memory::page(&nothing)?)?;
    }
    report.section::<Apply>()?;
    report.section::<Replicas>()?;
    report.section::<Kills>()?;
    report.section::<Delay>()?;
    report.section::<Build>()?;
    report.finish()
}

struct Report {
    dir: PathBuf,
    readme: String,
    /// Each with the sections that were measured on it.
    machines: Vec<(Machine, Vec<&'static str>)>,
    goals: Vec<Goal>,
}

impl Report {
    /// The section's data, if it was measured.
    fn section<S: Section>(&mut self) -> Result<Option<S>> {
        let Some(recorded) = Recorded::<S>::read(&self.dir.join("results"), S::NAME)? else {
            return Ok(None);
        };
        let mut page = recorded.data.page()?;
        let quick =
            if recorded.is_quick { ", with numbers too small to mean anything" } else { "" };
        page.paragraph(&format!("Measured in {:.0} s{quick}.", recorded.seconds));
        self.page(S::NAME, &page)?;
        self.goals.extend(recorded.data.goals());
        match self.machines.iter_mut().find(|(machine, _)| *machine == recorded.machine) {
            Some((_, sections)) => sections.push(S::NAME),
            None => self.machines.push((recorded.machine, vec![S::NAME])),
        }
        Ok(Some(recorded.data))
    }

    fn page(&mut self, name: &str, page: &Page) -> Result<()> {
        self.readme = readme::replace(&self.readme, name, &page.text)?;
        for (name, svg) in &page.plots {
            fs::write(self.dir.join("plots").join(format!("{name}.svg")), svg)?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        let (goals, machines) = (goals(&self.goals), machines(&self.machines));
        self.page("goals", &goals)?;
        self.page("machine", &machines)?;
        Ok(fs::write(self.dir.join("README.md"), self.readme)?)
    }
}

fn goals(goals: &[Goal]) -> Page {
    let rows = goals.iter().map(|goal| {
        let (found, verdict) = match &goal.found {
            Some(found) => {
                (found.text.clone(), if found.is_reached { "reached" } else { "**not reached**" })
            }
            None => ("–".to_owned(), "not measured"),
        };
        vec![goal.what.clone(), goal.wanted.clone(), found, verdict.to_owned()]
    });
    let mut page = Page::default();
    page.table(&["goal", "wanted", "found", ""], &rows.collect::<Vec<_>>());
    page
}

fn machines(machines: &[(Machine, Vec<&'static str>)]) -> Page {
    let mut page = Page::default();
    for (machine, sections) in machines {
        let tools = machine.tools.iter().filter(|(tool, _)| *tool != crate::subject::Tool::Limit);
        let tools: Vec<_> =
            tools.map(|(tool, version)| format!("{} {version}", tool.name())).collect();
        page.paragraph(&format!(
            "{} on {}: {}, {} cores, {} GiB, {}, databases on {}; PostgreSQL {}, SQLite {}, {}; {}.",
            sections.join(", "),
            machine.date,
            machine.cpu,
            machine.cores,
            machine.memory_gib,
            machine.kernel,
            machine.file_system,
            machine.postgres,
            machine.sqlite,
            machine.rustc,
            tools.join(", "),
        ));
    }
    page
}
