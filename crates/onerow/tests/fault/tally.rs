//! The counts of a scenario; the summary table.

use std::{collections::BTreeSet, fmt, time::Duration};

/// The counts of one scenario.
pub struct Tally {
    pub scenario: &'static str,
    pub backend: &'static str,
    /// The faults that hit something alive.
    pub faults: usize,
    late: usize,
    pub rounds: usize,
    versions: BTreeSet<i32>,
    pub broken: usize,
    pub elapsed: Duration,
}

impl Tally {
    pub fn new(scenario: &'static str, backend: &'static str) -> Self {
        Self {
            scenario,
            backend,
            faults: 0,
            late: 0,
            rounds: 0,
            versions: BTreeSet::new(),
            broken: 0,
            elapsed: Duration::ZERO,
        }
    }

    /// Counts one more fault, at the version of the database after it.
    pub fn count(&mut self, was_hit: bool, version: i32) {
        if was_hit {
            self.faults += 1;
            self.versions.insert(version);
        } else {
            self.late += 1;
        }
    }

    fn versions(&self) -> String {
        match (self.versions.first(), self.versions.last()) {
            (Some(first), Some(last)) => format!("{} of {first} to {last}", self.versions.len()),
            _ => "none".into(),
        }
    }
}

/// A row for each scenario, and a sum for each backend.
pub struct Summary<'a>(pub &'a [Tally]);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| scenario | backend | faults | came too late | databases finished | versions seen | \
             invariants broken | duration |"
        )?;
        writeln!(f, "|---|---|--:|--:|--:|---|--:|--:|")?;
        for tally in self.0 {
            row(f, tally, tally.scenario, &tally.versions())?;
        }
        for prefix in ["postgres", "sqlite"] {
            let mut sum = Tally::new("", prefix);
            for tally in self.0.iter().filter(|tally| tally.backend.starts_with(prefix)) {
                sum.faults += tally.faults;
                sum.late += tally.late;
                sum.rounds += tally.rounds;
                sum.broken += tally.broken;
                sum.elapsed += tally.elapsed;
            }
            row(f, &sum, "**all**", "")?;
        }
        Ok(())
    }
}

fn row(f: &mut fmt::Formatter<'_>, tally: &Tally, name: &str, versions: &str) -> fmt::Result {
    writeln!(
        f,
        "| {} | {} | {} | {} | {} | {versions} | {} | {:.0} s |",
        name.replace('_', " "),
        tally.backend,
        tally.faults,
        tally.late,
        tally.rounds,
        tally.broken,
        tally.elapsed.as_secs_f64()
    )
}
