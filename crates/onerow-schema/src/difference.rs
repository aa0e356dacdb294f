//! The changes that turn one schema into another.

use std::{
    collections::BTreeSet,
    fmt::{self, Debug, Display, Formatter},
};

use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::{Objects, sql::indented};

/// The changes that turn one schema into another; made by
/// [`Schema::difference`](super::Schema::difference).
///
/// It prints the changes object by object: `-` before the lines that only the first schema has, `+`
/// before those that only the second has:
///
/// ```text
/// table todos
/// - due timestamp with time zone
/// + due date not null
/// ```
///
/// If only one of them has an object, all its lines are there.
#[derive(Clone, PartialEq, Eq)]
pub struct Difference(Vec<String>);

impl Difference {
    pub(super) fn between(from: &Objects, to: &Objects) -> Self {
        let headings: BTreeSet<_> = from.keys().chain(to.keys()).collect();
        let change = |heading: &String| match (from.get(heading), to.get(heading)) {
            (Some(from), Some(to)) => changed(heading, from, to),
            (Some(lines), None) => Some(one_sided('-', heading, lines)),
            (None, Some(lines)) => Some(one_sided('+', heading, lines)),
            (None, None) => None,
        };
        Self(headings.into_iter().filter_map(change).collect())
    }

    /// Whether there is nothing to change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn one_sided(sign: char, heading: &str, lines: &[String]) -> String {
    indented(format!("{sign} {heading}"), lines, &format!("{sign}   "))
}

fn changed(heading: &str, from: &[String], to: &[String]) -> Option<String> {
    let mut text = heading.to_owned();
    for change in capture_diff_slices(Algorithm::Myers, from, to) {
        if matches!(change, DiffOp::Equal { .. }) {
            continue;
        }
        text = indented(text, &from[change.old_range()], "- ");
        text = indented(text, &to[change.new_range()], "+ ");
    }
    (text != heading).then_some(text)
}

impl Display for Difference {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n\n"))
    }
}

impl Debug for Difference {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}
