//! The most memory of a start with nothing to do. The runs of [`Nothing`] measure it; this shows
//! it.

use anyhow::Result;

use super::{counts, nothing::Nothing, summary};
use crate::{
    render::{
        figure::Unit,
        page::{Comparison, Page},
        plot::{self, Bars},
    },
    subject::{Kind, Tool},
};

pub const NAME: &str = "memory";

/// The page, for the runs with the most migrations.
pub fn page(nothing: &Nothing) -> Result<Page> {
    let Some(most) = counts(&nothing.runs).last().copied() else {
        return Ok(Page::default());
    };
    let rows = Tool::ALL.map(|tool| {
        let cells = Kind::ALL.map(|kind| {
            summary(&nothing.runs, kind, tool.usual(), most, |reading| reading.peak_kib as f64)
        });
        (tool.usual(), cells.into())
    });
    let peak =
        Comparison { columns: Kind::ALL.map(|kind| kind.to_string()).into(), rows: rows.into() };
    let mut page = Page::default();
    page.comparison(&format!("peak with {most} registered"), &peak, Unit::Mebibytes);
    let panels = [0, 1].map(|column| Bars {
        title: format!("Nothing to do with {most}, {}", peak.columns[column]),
        x: "MiB at the peak",
        values: peak
            .rows
            .iter()
            .filter_map(|(subject, cells)| Some((*subject, cells[column]?.median / 1024.0)))
            .collect(),
    });
    page.plot("memory", "Peak memory with nothing to do", plot::bars(&panels)?);
    Ok(page)
}
