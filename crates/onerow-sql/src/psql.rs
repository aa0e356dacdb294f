//! The parts of a script that are for psql, and not for the server.

use std::borrow::Cow;

use crate::lexer::{Dialect, Kind, Token, line, statements, tokens};

/// A part of a script that only psql can run.
#[derive(Debug, PartialEq, Eq)]
pub struct ForPsql {
    /// The line in which it begins, from 1.
    pub line: usize,
    /// What it is, and what to do about it.
    pub what: String,
}

/// The script that the server can run. It lacks the lines `\restrict` and `\unrestrict`, which
/// pg_dump prints, and which only psql knows. All else keeps its place.
///
/// # Errors
/// If there is another command of psql, or a `COPY` from or to the client.
pub fn for_the_server(sql: &str) -> Result<Cow<'_, str>, ForPsql> {
    let mut sent = Cow::Borrowed(sql);
    for offset in commands(sql) {
        let text = sql[offset..].lines().next().unwrap_or_default();
        let command = text.split_whitespace().next().unwrap_or_default();
        if !matches!(command, "\\restrict" | "\\unrestrict") {
            // The lines after a `COPY` are data, and no commands.
            check_copies(&sent[..offset])?;
            let what = format!(
                "`{command}` is a command of psql, which no server knows: {WITHOUT_COMMAND}"
            );
            return Err(ForPsql { line: line(sql, offset), what });
        }
        // The number of bytes stays the same, so that the rest keeps its place.
        sent.to_mut().replace_range(offset..offset + text.len(), &" ".repeat(text.len()));
    }
    check_copies(&sent)?;
    Ok(sent)
}

const WITHOUT_COMMAND: &str =
    "take that line out, and write in SQL what it does, if that is needed";

fn check_copies(sql: &str) -> Result<(), ForPsql> {
    match copies(sql) {
        Some((offset, what)) => Err(ForPsql { line: line(sql, offset), what: what.into() }),
        None => Ok(()),
    }
}

/// The first `COPY` from or to the client: its offset in bytes, and what to do about it. The driver
/// can do neither, and from `stdin` it would wait for ever.
#[must_use]
pub fn copies(sql: &str) -> Option<(usize, &'static str)> {
    // This saves splitting a script of many megabytes into tokens for nothing.
    if !has(sql, "copy") || !(has(sql, "stdin") || has(sql, "stdout")) {
        return None;
    }
    statements(sql, Dialect::Postgres)
        .into_iter()
        .find_map(|range| Some((range.start, copy(&sql[range])?)))
}

/// The message for a `COPY … FROM stdin`.
pub const FROM: &str = "COPY FROM stdin is not possible here, since nobody sends the rows after \
     it: use INSERT, or COPY from a file on the server";
const TO: &str = "COPY TO stdout is not possible here, since nobody reads the rows: use COPY to \
     a file on the server";

fn copy(statement: &str) -> Option<&'static str> {
    let mut code = tokens(statement, Dialect::Postgres).filter(|token| token.kind != Kind::Comment);
    if !code.next()?.is("copy") {
        return None;
    }
    let (mut depth, mut before) = (0_i32, None::<Token>);
    for token in code {
        depth += i32::from(token.is_symbol("(")) - i32::from(token.is_symbol(")"));
        // PostgreSQL accepts either name for the other.
        if depth == 0 && (token.is("stdin") || token.is("stdout")) {
            match before {
                Some(before) if before.is("from") => return Some(FROM),
                Some(before) if before.is("to") => return Some(TO),
                _ => {}
            }
        }
        before = Some(token);
    }
    None
}

fn has(sql: &str, word: &str) -> bool {
    sql.as_bytes().windows(word.len()).any(|bytes| bytes.eq_ignore_ascii_case(word.as_bytes()))
}

/// The offsets of the commands of psql. Each is a backslash that begins a line.
fn commands(sql: &str) -> Vec<usize> {
    if !sql.lines().any(|line| line.trim_start().starts_with('\\')) {
        return Vec::new();
    }
    let slashes = tokens(sql, Dialect::Postgres).filter(|token| token.is_symbol("\\"));
    let begin = |offset: usize| sql[..offset].rfind('\n').map_or(0, |end| end + 1);
    let offsets = slashes.map(|token| token.start);
    offsets.filter(|&offset| sql[begin(offset)..offset].trim().is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected(sql: &str) -> (usize, String) {
        let ForPsql { line, what } = for_the_server(sql).unwrap_err();
        (line, what)
    }

    #[test]
    fn what_pg_dump_puts_around_its_script_is_left_out_and_the_rest_stays_in_its_place() {
        let sql = "-- dump\n\\restrict 3xK9\n\nSELECT 'é';\n  \\unrestrict 3xK9\n";
        let sent = "-- dump\n              \n\nSELECT 'é';\n                  \n";
        assert_eq!(for_the_server(sql).unwrap(), sent);
        assert!(matches!(for_the_server("SELECT 1").unwrap(), Cow::Borrowed(_)));
    }

    #[test]
    fn another_command_of_psql_is_refused_with_its_line() {
        for command in [
            "\\connect",
            "\\i",
            "\\ir",
            "\\copy",
            "\\.",
            "\\set",
            "\\echo",
            "\\if",
            "\\c",
            "\\restricted",
        ] {
            let (line, what) = rejected(&format!("SELECT 1;\n \t{command} a secret\nSELECT 2;"));
            assert_eq!(line, 2);
            assert!(what.starts_with(&format!("`{command}` is a command of psql")), "{what}");
            assert!(!what.contains("secret"), "{what}");
        }
    }

    #[test]
    fn a_backslash_in_a_text_or_a_comment_is_no_command() {
        for sql in [
            "SELECT '\n\\connect\n'",
            "SELECT E'\n\\'\n\\connect\n'",
            "DO $$\n\\connect\n$$",
            "/*\n\\connect\n*/ SELECT 1",
            "-- it's\nSELECT '\n\\i a'",
            "SELECT 1 \\g",
            "SELECT \"\n\\d\n\"",
        ] {
            assert_eq!(for_the_server(sql).as_deref(), Ok(sql));
        }
    }

    #[test]
    fn copy_from_the_client_is_refused_however_it_is_written() {
        for sql in [
            "COPY t FROM stdin;",
            "copy t (a, b)\n\tfrom STDIN with (format csv);\n1\tit's\n\\N\t2\n\\.\n",
            "CoPy /* from */ t -- to\n FROM/**/stdin WHERE a > 0;",
            "COPY BINARY public.\"T\" FROM STDIN",
            "COPY t FROM stdout;",
        ] {
            assert_eq!(rejected(&format!("SELECT 1;\n{sql}")), (2, FROM.to_owned()), "{sql}");
        }
        for sql in [
            "COPY t TO stdout",
            "COPY (SELECT a FROM stdin) TO STDOUT (FORMAT csv)",
            "copy t to stdin",
        ] {
            assert_eq!(rejected(sql), (1, TO.to_owned()), "{sql}");
        }
    }

    #[test]
    fn any_other_copy_is_the_server_s() {
        for sql in [
            "COPY t FROM '/tmp/stdin'",
            "COPY t FROM PROGRAM 'cat' ; SELECT 'stdin'",
            "COPY (SELECT 1 FROM stdin) TO '/tmp/a'",
            "COPY \"from\" FROM '/stdin'",
            "SELECT 'COPY t FROM stdin'",
            "-- COPY t FROM stdin\nSELECT 1",
            "CREATE TABLE copy (stdin INT)",
            "DO $$ BEGIN RAISE 'COPY t FROM stdin;'; END $$",
            "COPY t FROM \"stdin\"",
        ] {
            assert_eq!(for_the_server(sql).as_deref(), Ok(sql));
        }
    }

    #[test]
    fn of_a_command_and_a_copy_the_first_is_told() {
        assert!(rejected("\\connect a\nCOPY t FROM stdin;\n\\.").1.contains("\\connect"));
        assert_eq!(
            rejected("\\restrict a\nCOPY t FROM stdin;\nit's\n\\.\n\\connect b"),
            (2, FROM.to_owned())
        );
    }
}
