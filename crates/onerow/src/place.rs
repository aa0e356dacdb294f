//! The place of a statement that failed. In a script it has the line. In the code of a migration it
//! has no SQL, which may hold what must not be logged.

use std::{error::Error as StdError, fmt, ops::Range};

use onerow_sql::{Dialect, Kind, line, statements, tokens};

/// The place of a statement, in words. It becomes the cause of the driver's error.
#[derive(Debug)]
pub(crate) enum Place {
    /// Several lines, with a part of the script.
    Script(String),
    /// One line, without SQL.
    Code(String),
}

/// The place as a server names it: the number of a character, from 1, in the SQL that it was sent,
/// or in a query within that.
pub(crate) struct Position {
    pub(crate) number: usize,
    pub(crate) query: Option<String>,
}

/// What is known of the place in a script.
pub(crate) enum Spot {
    /// The offset in bytes.
    At(usize),
    /// The statement.
    Statement(Range<usize>),
    Unknown,
}

impl Place {
    /// The place in a script. `name` is the name of its file.
    pub(crate) fn in_script(name: &str, sql: &str, spot: Spot) -> Self {
        let script = Script { sql };
        Self::Script(match spot {
            Spot::At(offset) => format!("in {name}, {}", script.at(offset)),
            Spot::Statement(range) => format!("in {name}, {}", script.statement(range.start)),
            Spot::Unknown => format!("in {name}"),
        })
    }

    /// The place in the code of a migration, of which it is the statement with this number.
    pub(crate) fn in_code(number: usize, sql: &str, position: Option<Position>) -> Self {
        let first = tokens(sql, Dialect::Postgres).find(|token| token.kind != Kind::Comment);
        let verb = first.filter(|token| token.text.bytes().all(|byte| byte.is_ascii_alphabetic()));
        let verb = verb.map(|verb| format!(" ({})", verb.text.to_uppercase())).unwrap_or_default();
        let position = position.filter(|_| sql.trim().contains('\n'));
        let offset = position.and_then(|position| position.offset_in(sql));
        let within =
            offset.map(|offset| format!(", line {}", line(sql, offset))).unwrap_or_default();
        Self::Code(format!("in statement {number} of the migration{verb}{within}"))
    }

    /// The words of the server, followed by this place.
    #[cfg_attr(not(any(feature = "postgres", feature = "sqlite")), expect(dead_code))]
    pub(crate) fn after(&self, words: &str) -> String {
        match self {
            Self::Script(_) => format!("{words}\n{self}"),
            Self::Code(_) => format!("{words}; {self}"),
        }
    }
}

impl Position {
    /// The offset in bytes, from 0. A query within the SQL has one if the SQL holds its text once,
    /// as a `DO` block may.
    pub(crate) fn offset_in(&self, sql: &str) -> Option<usize> {
        let Some(query) = &self.query else { return Some(offset(sql, self.number)) };
        let mut found = sql.match_indices(query.as_str());
        let (start, _) = found.next()?;
        found.next().is_none().then(|| start + offset(query, self.number))
    }
}

/// An error at the end of the input is placed at the end of the last line.
fn offset(sql: &str, number: usize) -> usize {
    let offset =
        sql.char_indices().nth(number.saturating_sub(1)).map_or(sql.len(), |(offset, _)| offset);
    offset.min(sql.trim_end().len())
}

/// At most this many characters of a line are shown.
const WIDTH: usize = 100;

struct Script<'a> {
    sql: &'a str,
}

impl Script<'_> {
    fn at(&self, offset: usize) -> String {
        let statements = statements(self.sql, Dialect::Postgres);
        let mut starts = statements.iter().rev().map(|range| range.start);
        let start = starts.find(|&start| start <= offset).unwrap_or(offset);
        let (first, number) = (line(self.sql, start), line(self.sql, offset));
        let (excerpt, column) = self.excerpt(offset);
        let width = number.to_string().len();
        let caret = format!("{:width$} | {:column$}^", "", "");
        if first == number {
            return format!("line {number}\n{number} | {excerpt}\n{caret}");
        }
        let (begin, _) = self.excerpt(start);
        let header = format!("line {number}, in the statement that begins in line {first}");
        format!("{header}\n{first:width$} | {begin}\n{number} | {excerpt}\n{caret}")
    }

    fn statement(&self, start: usize) -> String {
        let number = line(self.sql, start);
        format!(
            "in the statement that begins in line {number}\n{number} | {}",
            self.excerpt(start).0
        )
    }

    /// The line around an offset, and the column of the offset in it.
    fn excerpt(&self, offset: usize) -> (String, usize) {
        let begin = self.sql[..offset].rfind('\n').map_or(0, |end| end + 1);
        let column = self.sql[begin..offset].chars().count();
        let text: Vec<_> = self.sql[begin..].lines().next().unwrap_or_default().chars().collect();
        let skipped = if text.len() <= WIDTH {
            0
        } else {
            column.saturating_sub(WIDTH / 2).min(text.len() - WIDTH)
        };
        let shown = text.into_iter().skip(skipped).take(WIDTH);
        // A tab has a width of its own, and other control characters may upset a terminal.
        let shown: String =
            shown.map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
        (shown.trim_end().to_owned(), column - skipped)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Script(text) | Self::Code(text)) = self;
        f.write_str(text)
    }
}

impl StdError for Place {}
