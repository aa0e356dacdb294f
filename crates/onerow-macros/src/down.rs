//! Files that go up and then down, as some tools have them. Sent whole, such a file would do its
//! work and undo it.

use std::ops::Range;

use onerow_sql::{Dialect, Kind, line, statements, tokens};

/// The part of a file that goes down.
#[derive(Debug, PartialEq, Eq)]
pub struct Down {
    pub tool: &'static str,
    /// The line in which it begins, from 1.
    pub line: usize,
    /// The comment that begins it.
    pub marker: String,
}

/// The comments that begin such a part, and the tool of each. They are in lower case, and without
/// the dashes, colons and blanks around them.
const MARKERS: [(&str, &str); 14] = [
    ("migrate:down", "dbmate"),
    ("+goose down", "goose"),
    ("+migrate down", "sql-migrate"),
    ("+micrate down", "micrate"),
    ("create above / drop below", "tern"),
    ("rambler down", "rambler"),
    ("//@undo", "MyBatis Migrations"),
    ("// @undo", "MyBatis Migrations"),
    ("@undo", "MyBatis Migrations"),
    ("down migration", "node-pg-migrate"),
    ("!downs", "Play's evolutions"),
    ("down.sql", "Atlas"),
    ("migrate down", "a tool with both ways in a file"),
    (PLAIN, "a tool with both ways in a file"),
];

/// This marker counts only between statements: within one, the comment may be about a row or a
/// column.
const PLAIN: &str = "down";

/// The markers that may have options after them: dbmate's `transaction:false`, sql-migrate's
/// `notransaction`.
const WITH_OPTIONS: [&str; 3] = ["migrate:down ", "+migrate down ", "!downs "];

/// The part of this SQL that goes down, if there is one. A marker without a statement after it does
/// no harm.
pub fn part(sql: &str) -> Option<Down> {
    let last = tokens(sql, Dialect::Postgres).filter(|token| token.kind != Kind::Comment).last()?;
    tokens(sql, Dialect::Postgres).take_while(|token| token.start < last.start).find_map(|token| {
        let begin = sql[..token.start].rfind('\n').map_or(0, |end| end + 1);
        // Play's markers begin with `#`, which begins no comment in SQL.
        let before = sql[begin..token.start].trim().trim_start_matches('\u{feff}');
        let is_marker = token.kind == Kind::Comment || token.is_symbol("#");
        if !is_marker || !matches!(before, "" | "#") {
            return None;
        }
        let text = sql[begin..].lines().next()?.trim();
        let (marker, tool) = marker(text)?;
        let is_within = |statement: &Range<usize>| statement.contains(&token.start);
        if marker == PLAIN && statements(sql, Dialect::Postgres).iter().any(is_within) {
            return None;
        }
        Some(Down { tool, line: line(sql, token.start), marker: text.to_owned() })
    })
}

fn marker(line: &str) -> Option<(&'static str, &'static str)> {
    let around = |letter: char| letter.is_whitespace() || "#-=:;\u{feff}".contains(letter);
    let words: Vec<_> =
        line.trim_matches(around).split_whitespace().map(str::to_lowercase).collect();
    let text =
        words.join(" ").replace("migrate: down", "migrate:down").replace("//@ undo", "//@undo");
    let is_it = |marker: &str| {
        text == marker
            || WITH_OPTIONS
                .iter()
                .any(|begin| begin.trim_end() == marker && text.starts_with(begin))
    };
    MARKERS.into_iter().find(|(marker, _)| is_it(marker))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_that_goes_back_is_found_as_each_tool_marks_it() {
        for (tool, marker) in [
            ("dbmate", "-- migrate:down"),
            ("dbmate", "--migrate:down transaction:false"),
            ("dbmate", "  --   migrate:down\t"),
            ("goose", "-- +goose Down"),
            ("goose", "--+goose down"),
            ("goose", "--  +goose   DOWN "),
            ("sql-migrate", "-- +migrate Down"),
            ("sql-migrate", "-- +migrate Down notransaction"),
            ("micrate", "-- +micrate Down"),
            ("tern", "---- create above / drop below ----"),
            ("tern", "-- create above / drop below"),
            ("rambler", "-- rambler down"),
            ("MyBatis Migrations", "-- //@UNDO"),
            ("MyBatis Migrations", "--//@UNDO"),
            ("MyBatis Migrations", "-- @UNDO"),
            ("MyBatis Migrations", "-- // @undo"),
            ("node-pg-migrate", "-- Down Migration"),
            ("node-pg-migrate", "--- DOWN migration ---"),
            ("Play's evolutions", "# --- !Downs"),
            ("Play's evolutions", "# !Downs"),
            ("Play's evolutions", "-- !Downs"),
            ("Play's evolutions", "#--- !Downs"),
            ("Atlas", "-- down.sql --"),
            ("a tool with both ways in a file", "-- Down"),
            ("a tool with both ways in a file", "-- ==== DOWN ===="),
            ("a tool with both ways in a file", "-- down:"),
        ] {
            for end in ["\n", "\r\n"] {
                let sql = format!(
                    "-- up{end}CREATE TABLE t (a INT);{end}{end}{marker}{end}DROP TABLE t;{end}"
                );
                let found = Down { tool, line: 4, marker: marker.trim().into() };
                assert_eq!(part(&sql), Some(found), "{marker}");
            }
            assert_eq!(
                part(&format!("\u{feff}{marker}\nDROP TABLE t")).map(|down| down.tool),
                Some(tool),
                "{marker}"
            );
        }
    }

    #[test]
    fn a_comment_that_only_speaks_of_it_is_none() {
        for sql in [
            "-- migrate:up",
            "-- +goose Up\n-- +goose StatementBegin\nSELECT 1;\n-- +goose StatementEnd",
            "-- breaks down the price",
            "-- down the road this goes",
            "-- Down migrations are not written any more",
            "-- see the part -- migrate:down of the old file",
            "-- migrate:downstream",
            "-- +goose Downward",
            "-- there is no undo",
            "-- rambler down the road",
            "SELECT 1 -- down",
            "SELECT '\n-- migrate:down\n'",
            "DO $$\n-- +goose Down\n$$",
            "/*\n-- migrate:down\n*/",
            "SELECT 1 # 2",
            "SELECT down FROM t",
            "INSERT INTO states VALUES\n-- up\n('up'),\n-- down\n('down');",
            "CREATE TRIGGER t AFTER INSERT ON a BEGIN\n  DELETE FROM b;\n  -- down\n  \
             DELETE FROM c;\nEND;",
            "CREATE TABLE t (a INT);\n-- Down:\n-- DROP TABLE t;\n",
        ] {
            assert_eq!(part(sql), None, "{sql}");
        }
    }
}
