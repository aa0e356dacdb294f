//! The output of a section: markdown, and the plots in it.

use crate::{render::figure::Unit, statistics::Summary, subject::Subject};

#[derive(Debug, Default)]
pub struct Page {
    pub text: String,
    /// The name of each file, without its ending, and its contents.
    pub plots: Vec<(String, String)>,
}

/// A goal for onerow.
#[derive(Debug)]
pub struct Goal {
    pub what: String,
    pub wanted: String,
    /// `None` if it was not measured.
    pub found: Option<Found>,
}

#[derive(Debug)]
pub struct Found {
    pub text: String,
    pub is_reached: bool,
}

/// The subjects, with the measurements of each column. Less is better.
#[derive(Debug, Clone)]
pub struct Comparison {
    pub columns: Vec<String>,
    pub rows: Vec<(Subject, Vec<Option<Summary>>)>,
}

impl Goal {
    /// The goal that a figure is at most this.
    pub fn at_most(what: impl Into<String>, most: f64, unit: Unit, found: Option<f64>) -> Self {
        let found = found.map(|found| Found { text: unit.write(found), is_reached: found <= most });
        Self { what: what.into(), wanted: format!("at most {}", unit.write(most)), found }
    }
}

impl Page {
    pub fn paragraph(&mut self, text: &str) {
        self.text += text;
        self.text += "\n\n";
    }

    pub fn plot(&mut self, name: &str, description: &str, svg: String) {
        self.paragraph(&format!("![{description}](plots/{name}.svg)"));
        self.plots.push((name.to_owned(), svg));
    }

    /// The first column is text; the others are figures.
    pub fn table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        self.text += &line(head.iter().copied());
        self.text += &line(
            head.iter().enumerate().map(|(column, _)| if column == 0 { "---" } else { "--:" }),
        );
        for row in rows {
            self.text += &line(row.iter().map(String::as_str));
        }
        self.text += "\n";
    }

    /// The table with the best of each column in bold; below it, the columns in which onerow is not
    /// first.
    pub fn comparison(&mut self, head: &str, comparison: &Comparison, unit: Unit) {
        let head: Vec<&str> =
            [head].into_iter().chain(comparison.columns.iter().map(String::as_str)).collect();
        let best: Vec<_> =
            (0..comparison.columns.len()).map(|column| comparison.best(column)).collect();
        let rows = comparison.rows.iter().map(|(subject, cells)| {
            let cells = cells.iter().zip(&best).map(|(cell, best)| match cell {
                Some(summary) if *best == Some(*subject) => {
                    format!("**{}**", unit.with_spread(*summary))
                }
                Some(summary) => unit.with_spread(*summary),
                None => "–".to_owned(),
            });
            [subject.to_string()].into_iter().chain(cells).collect()
        });
        self.table(&head, &rows.collect::<Vec<_>>());
        self.list(&comparison.not_first(unit));
    }

    pub fn list(&mut self, sentences: &[String]) {
        for sentence in sentences {
            self.text += &["- ", sentence, "\n"].concat();
        }
        if !sentences.is_empty() {
            self.text += "\n";
        }
    }
}

impl Comparison {
    /// The migrator with the smallest median.
    fn best(&self, column: usize) -> Option<Subject> {
        let cells = self.rows.iter().filter(|(subject, _)| !subject.is_limit());
        let cells = cells.filter_map(|(subject, cells)| Some((*subject, cells[column]?.median)));
        cells.min_by(|(_, one), (_, other)| one.total_cmp(other)).map(|(subject, _)| subject)
    }

    pub fn get(&self, subject: Subject, column: usize) -> Option<Summary> {
        let (_, cells) = self.rows.iter().find(|(of, _)| *of == subject)?;
        cells[column]
    }

    /// A sentence for each column in which another migrator has a smaller median.
    fn not_first(&self, unit: Unit) -> Vec<String> {
        let sentences = self.columns.iter().enumerate().filter_map(|(column, name)| {
            let best = self.best(column)?;
            let (first, ours) = (self.get(best, column)?, self.get(Subject::ONEROW, column)?);
            (first.median < ours.median).then(|| {
                let chance = if first.overlaps(ours) { "; the quartiles overlap" } else { "" };
                let (first, ours) = (unit.write(first.median), unit.write(ours.median));
                format!("{name}: {best} is first, with {first}; onerow has {ours}{chance}.")
            })
        });
        sentences.collect()
    }
}

fn line<'a>(cells: impl Iterator<Item = &'a str>) -> String {
    format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::Tool;

    fn one(value: f64) -> Option<Summary> {
        Summary::of([value])
    }

    #[test]
    fn the_best_is_bold_the_limit_is_no_competitor_and_a_second_place_is_said() {
        let comparison = Comparison {
            columns: vec!["10".into(), "100".into()],
            rows: vec![
                (Subject::ONEROW, vec![one(1.0), one(4.0)]),
                (Tool::Sqlx.usual(), vec![one(2.0), one(3.0)]),
                (Tool::Diesel.usual(), vec![None, None]),
                (Tool::Limit.usual(), vec![one(0.5), one(0.5)]),
            ],
        };
        let mut page = Page::default();
        page.comparison("", &comparison, Unit::Seconds);
        let expected = "\
|  | 10 | 100 |
| --- | --: | --: |
| onerow | **1.00 s** | 4.00 s |
| sqlx | 2.00 s | **3.00 s** |
| diesel | – | – |
| bare connection | 0.500 s | 0.500 s |

- 100: sqlx is first, with 3.00 s; onerow has 4.00 s.

";
        assert_eq!(page.text, expected);
    }
}
