//! The tokens of SQL. They tell code from quotes and comments, and where a statement ends.

use std::ops::Range;

/// The dialect of SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL has dollar quotes, `E'\''`, and comments in comments.
    Postgres,
    /// SQLite has `[names]`.
    Sqlite,
}

/// The kind of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A name that is not quoted, a keyword, or a number.
    Word,
    /// A name, a string or a body in quotes of any kind.
    Quoted,
    /// A comment to the end of the line, or a block of one.
    Comment,
    /// Any other character.
    Symbol,
}

/// A token, and its place in the SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'a> {
    /// Its kind.
    pub kind: Kind,
    /// The offset in bytes at which it begins.
    pub start: usize,
    /// The token as it is written.
    pub text: &'a str,
}

impl<'a> Token<'a> {
    /// Whether it is this keyword, in any case.
    #[must_use]
    pub fn is(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }

    /// The text without the quotes around it.
    #[must_use]
    pub fn bare(&self) -> &'a str {
        self.text.trim_matches(['"', '\'', '`', '[', ']'])
    }

    /// Whether it is this character.
    #[must_use]
    pub fn is_symbol(&self, symbol: &str) -> bool {
        self.kind == Kind::Symbol && self.text == symbol
    }
}

/// The tokens of this SQL, without white space. A quote or a comment that is not closed goes on to
/// the end.
pub fn tokens(sql: &str, dialect: Dialect) -> impl Iterator<Item = Token<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = sql[at..]
            .trim_start_matches(|letter: char| letter.is_whitespace() || letter == '\u{feff}');
        let start = sql.len() - rest.len();
        let first = rest.chars().next()?;
        let (kind, length) = token(rest, first, dialect);
        at = start + length;
        Some(Token { kind, start, text: &rest[..length] })
    })
}

fn token(rest: &str, first: char, dialect: Dialect) -> (Kind, usize) {
    let postgres = dialect == Dialect::Postgres;
    match first {
        '-' if rest.starts_with("--") => {
            (Kind::Comment, rest.find(['\n', '\r']).unwrap_or(rest.len()))
        }
        '/' if rest.starts_with("/*") => (Kind::Comment, block_comment(rest, postgres)),
        '\'' | '"' | '`' => (Kind::Quoted, quoted(rest, first as u8, false)),
        '[' if !postgres => (Kind::Quoted, rest.find(']').map_or(rest.len(), |end| end + 1)),
        'e' | 'E' if postgres && rest[1..].starts_with('\'') => {
            (Kind::Quoted, 1 + quoted(&rest[1..], b'\'', true))
        }
        '$' if postgres && let Some(length) = dollar_quoted(rest) => (Kind::Quoted, length),
        _ if is_word(first) => {
            let end = rest.find(|letter: char| !is_word(letter) && letter != '$');
            (Kind::Word, end.unwrap_or(rest.len()))
        }
        _ => (Kind::Symbol, first.len_utf8()),
    }
}

fn is_word(letter: char) -> bool {
    letter == '_' || letter.is_ascii_alphanumeric() || !letter.is_ascii()
}

fn block_comment(rest: &str, nested: bool) -> usize {
    let (mut depth, mut at) = (1, 2);
    while let Some(end) = rest[at..].find("*/").map(|end| at + end) {
        if nested {
            depth += rest[at..end].matches("/*").count();
        }
        depth -= 1;
        at = end + 2;
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn quoted(rest: &str, quote: u8, escapes: bool) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while let Some(&byte) = bytes.get(at) {
        let doubled = byte == quote && bytes.get(at + 1) == Some(&quote);
        if byte == quote && !doubled {
            return at + 1;
        }
        at += if doubled || (escapes && byte == b'\\') { 2 } else { 1 };
    }
    rest.len()
}

/// The length of `$$…$$` or `$tag$…$tag$`. `$1` is a parameter, and no quote.
fn dollar_quoted(rest: &str) -> Option<usize> {
    let tag = &rest[..rest[1..].find('$')? + 2];
    let name = &tag[1..tag.len() - 1];
    if name.starts_with(|letter: char| letter.is_ascii_digit()) || !name.chars().all(is_word) {
        return None;
    }
    let end = rest[tag.len()..].find(tag).map(|end| tag.len() + end + tag.len());
    Some(end.unwrap_or(rest.len()))
}

/// The statements, as ranges of bytes: each from its first token to its semicolon, which is not in
/// the range, and without the comments around it.
///
/// After `BEGIN`, the body of a trigger or of a function goes on to `; END;`, as in SQLite's own
/// `sqlite3_complete`. So several statements may be taken for one, which does no harm, but none is
/// cut in two.
#[must_use]
pub fn statements(sql: &str, dialect: Dialect) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut open: Option<Open> = None;
    for token in tokens(sql, dialect).filter(|token| token.kind != Kind::Comment) {
        if !token.is_symbol(";")
            || open.as_ref().is_some_and(|open| open.body && open.ended != Ended::Body)
        {
            open.get_or_insert_with(|| Open::new(&token)).read(&token);
        } else if let Some(open) = open.take() {
            found.push(open.range);
        }
    }
    found.extend(open.map(|open| open.range));
    found
}

/// A statement while it is read.
struct Open {
    range: Range<usize>,
    creates: bool,
    depth: usize,
    /// Whether it is in the body of a trigger or of a function.
    body: bool,
    ended: Ended,
}

/// What the last tokens have ended.
#[derive(PartialEq)]
enum Ended {
    No,
    /// The last token is `;`.
    Statement,
    /// The last tokens are `; END`.
    Body,
}

impl Open {
    fn new(first: &Token) -> Self {
        let range = first.start..first.start;
        Self { range, creates: first.is("create"), depth: 0, body: false, ended: Ended::No }
    }

    fn read(&mut self, token: &Token) {
        self.range.end = token.start + token.text.len();
        self.ended = match self.ended {
            Ended::Statement if token.is("end") => Ended::Body,
            _ if token.is_symbol(";") => Ended::Statement,
            _ => Ended::No,
        };
        if token.is_symbol("(") {
            self.depth += 1;
        } else if token.is_symbol(")") {
            self.depth = self.depth.saturating_sub(1);
        }
        self.body |= self.creates && self.depth == 0 && token.is("begin");
    }
}

/// The number of the line that holds this offset in bytes, from 1.
#[must_use]
pub fn line(sql: &str, offset: usize) -> usize {
    sql[..offset].matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(sql: &str, dialect: Dialect) -> Vec<&str> {
        tokens(sql, dialect).map(|token| token.text).collect()
    }

    fn split(sql: &str, dialect: Dialect) -> Vec<&str> {
        statements(sql, dialect).into_iter().map(|range| &sql[range]).collect()
    }

    #[test]
    fn what_stands_in_quotes_and_comments_is_one_token() {
        for quoted in [
            "'it''s; \\'",
            "E'it\\'s; '",
            "e'a''\\'b'",
            "\"a;\"\"b\"",
            "$$ it's; $x$ $$",
            "$é_1$ $$; $é_1$",
            "-- it's;",
            "/* /* it's */ ; */",
            "`a;b`",
        ] {
            let sql = format!("a {quoted}\n;b");
            assert_eq!(texts(&sql, Dialect::Postgres), ["a", quoted, ";", "b"]);
        }
        assert_eq!(texts("[it's] /* /* */ b", Dialect::Sqlite), ["[it's]", "/* /* */", "b"]);
    }

    #[test]
    fn a_dollar_in_a_name_or_before_a_number_opens_no_quote() {
        assert_eq!(texts("a$b$ $1 $2$c", Dialect::Postgres), ["a$b$", "$", "1", "$", "2$c"]);
    }

    #[test]
    fn what_is_not_closed_goes_on_to_the_end() {
        for open in ["'a;\n", "\"a;", "$$;", "/* ;", "E'\\", "--", "/*/"] {
            assert_eq!(texts(open, Dialect::Postgres), [open]);
        }
    }

    #[test]
    fn a_statement_ends_at_a_semicolon_in_code() {
        let sql = "-- one;\nSELECT ';' /* ; */, 1; ;\n\nDO $$ a; b; $$; -- two;\nlast";
        assert_eq!(
            split(sql, Dialect::Postgres),
            ["SELECT ';' /* ; */, 1", "DO $$ a; b; $$", "last"]
        );
        assert_eq!(split(" -- nothing\n;", Dialect::Sqlite), [""; 0]);
    }

    #[test]
    fn the_body_of_a_trigger_or_of_a_function_is_not_cut() {
        let trigger = "CREATE TRIGGER t AFTER INSERT ON a BEGIN\n  \
                       SELECT CASE WHEN 1 THEN 2 END;\n  DELETE FROM b;\nEND";
        let function = "create function f() returns int begin atomic select 1; select 2; end";
        for sql in [trigger, function] {
            let script = format!("BEGIN; {sql}; SELECT 1;");
            assert_eq!(split(&script, Dialect::Sqlite), ["BEGIN", sql, "SELECT 1"]);
        }
        let table = "CREATE TABLE t (begin DATE)";
        assert_eq!(
            split("CREATE TABLE t (begin DATE); SELECT 1", Dialect::Sqlite),
            [table, "SELECT 1"]
        );
    }
}
