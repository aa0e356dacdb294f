//! SQLite keeps the SQL of each object. This reads it into tokens, and prints those as text that is
//! the same for the same meaning.

use std::{collections::HashSet, iter::Peekable, str::CharIndices, sync::LazyLock};

use onerow_sql::{quoted_name, standard_literal};

/// A token of SQL. Comments and white space are not tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A keyword, or a name without quotes.
    Word(String),
    /// A name that was quoted, without its quotes.
    Quoted(String),
    /// A string, a number or a blob, as it was written.
    Literal(String),
    /// An operator, a bracket, a comma.
    Symbol(String),
}

impl Token {
    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(self, Self::Word(found) if found.eq_ignore_ascii_case(word))
    }

    pub(super) fn is_symbol(&self, symbol: &str) -> bool {
        matches!(self, Self::Symbol(found) if found == symbol)
    }

    /// The name that it stands for, in or without quotes. SQLite takes a string for a name too.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Word(text) | Self::Quoted(text) | Self::Symbol(text) => text.clone(),
            Self::Literal(text) => {
                let inside = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
                inside.unwrap_or(text).replace("''", "'")
            }
        }
    }
}

/// The tokens of a statement. A quote, a bracket or a comment that is left open ends with it.
pub(super) fn tokens(sql: &str) -> Vec<Token> {
    let mut reader = Reader { sql, chars: sql.char_indices().peekable() };
    std::iter::from_fn(|| reader.next()).collect()
}

struct Reader<'a> {
    sql: &'a str,
    chars: Peekable<CharIndices<'a>>,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<Token> {
        loop {
            let (start, first) = self.chars.next()?;
            let second = self.peek();
            match first {
                _ if first.is_whitespace() => (),
                '-' if second == Some('-') => drop(self.take_while(start, |c| c != '\n')),
                '/' if second == Some('*') => self.skip_comment(),
                '\'' => return Some(Token::Literal(standard_literal(&self.quoted('\'')))),
                '"' | '`' => return Some(Token::Quoted(self.quoted(first))),
                '[' => return Some(Token::Quoted(self.bracketed())),
                'x' | 'X' if second == Some('\'') => return Some(self.blob()),
                _ if first.is_ascii_digit() => return Some(self.number(start)),
                '.' if second.is_some_and(|c| c.is_ascii_digit()) => {
                    return Some(self.number(start));
                }
                _ if is_name(first) => return Some(Token::Word(self.take_while(start, is_name))),
                _ => return Some(self.symbol(start)),
            }
        }
    }

    fn peek(&mut self) -> Option<char> {
        self.chars.peek().map(|(_, c)| *c)
    }

    fn take_while(&mut self, start: usize, wanted: impl Fn(char) -> bool) -> String {
        while self.chars.next_if(|(_, c)| wanted(*c)).is_some() {}
        let end = self.chars.peek().map_or(self.sql.len(), |(end, _)| *end);
        self.sql[start..end].to_owned()
    }

    fn skip_comment(&mut self) {
        self.chars.next();
        while let Some((_, c)) = self.chars.next() {
            if c == '*' && self.chars.next_if(|(_, c)| *c == '/').is_some() {
                return;
            }
        }
    }

    /// Reads up to the closing quote. Two quotes are one in the text.
    fn quoted(&mut self, quote: char) -> String {
        let mut text = String::new();
        while let Some((_, c)) = self.chars.next() {
            if c == quote && self.chars.next_if(|(_, c)| *c == quote).is_none() {
                break;
            }
            text.push(c);
        }
        text
    }

    fn bracketed(&mut self) -> String {
        self.chars.by_ref().map(|(_, c)| c).take_while(|c| *c != ']').collect()
    }

    fn blob(&mut self) -> Token {
        self.chars.next();
        Token::Literal(format!("x'{}'", self.quoted('\'').to_lowercase()))
    }

    fn number(&mut self, start: usize) -> Token {
        let mut number = self.take_while(start, |c| is_name(c) || c == '.');
        if number.ends_with(['e', 'E']) && !number.starts_with("0x") && !number.starts_with("0X") {
            let signed = self.chars.next_if(|(_, c)| matches!(c, '+' | '-'));
            if let Some((sign, _)) = signed {
                number.push_str(&self.take_while(sign, is_name));
            }
        }
        Token::Literal(number)
    }

    fn symbol(&mut self, start: usize) -> Token {
        const LONG: [&str; 10] = ["->>", "->", "||", "<=", ">=", "<>", "!=", "==", "<<", ">>"];
        let long = LONG.into_iter().find(|long| self.sql[start..].starts_with(long));
        for _ in 1..long.map_or(1, str::len) {
            self.chars.next();
        }
        let end = self.chars.peek().map_or(self.sql.len(), |(end, _)| *end);
        Token::Symbol(self.sql[start..end].to_owned())
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

/// The tokens between an opening bracket and the one that closes it, and those after it.
pub(super) fn bracketed(tokens: &[Token]) -> Option<(&[Token], &[Token])> {
    let (open, rest) = tokens.split_first()?;
    if !open.is_symbol("(") {
        return None;
    }
    let mut depth = 1_usize;
    for (i, token) in rest.iter().enumerate() {
        depth += usize::from(token.is_symbol("("));
        depth -= usize::from(token.is_symbol(")"));
        if depth == 0 {
            return Some((&rest[..i], &rest[i + 1..]));
        }
    }
    Some((rest, &[]))
}

/// The items of a list: the tokens between those commas that are not in brackets.
pub(super) fn items(tokens: &[Token]) -> Vec<&[Token]> {
    let mut depth = 0_usize;
    tokens
        .split(|token| {
            depth += usize::from(token.is_symbol("("));
            depth = depth.saturating_sub(token.is_symbol(")").into());
            depth == 0 && token.is_symbol(",")
        })
        .collect()
}

/// The tokens as text: keywords in lower case, names in quotes if they need them, single blanks.
pub(super) fn print(tokens: &[Token]) -> String {
    let mut text = String::new();
    for (i, token) in tokens.iter().enumerate() {
        let before = &tokens[..i];
        if has_blank(before, token) {
            text.push(' ');
        }
        text.push_str(&print_token(before.last(), token, tokens.get(i + 1)));
    }
    text
}

fn print_token(before: Option<&Token>, token: &Token, after: Option<&Token>) -> String {
    match token {
        Token::Word(word) => {
            let named =
                before.is_some_and(|before| before.is_word("into") || before.is_symbol("."));
            let called = after.is_some_and(|after| after.is_symbol("(")) && !named;
            let collation = before.is_some_and(|before| before.is_word("collate"));
            if called || collation || keyword(word).is_some() {
                word.to_lowercase()
            } else {
                word.clone()
            }
        }
        Token::Quoted(text) if keyword(text) == Some(Keyword::Unreserved) => text.to_lowercase(),
        Token::Quoted(text) => name(text),
        Token::Literal(text) | Token::Symbol(text) => text.clone(),
    }
}

fn has_blank(before: &[Token], token: &Token) -> bool {
    let Some(last) = before.last() else { return false };
    if [",", ")", ".", ";"].into_iter().any(|symbol| token.is_symbol(symbol)) {
        return false;
    }
    if last.is_symbol("(") || last.is_symbol(".") || is_sign(before) {
        return false;
    }
    // A name before a bracket is called, or has columns.
    let called = match last {
        Token::Word(word) => {
            keyword(word).is_none() || CALLED.iter().any(|call| last.is_word(call))
        }
        Token::Quoted(_) => true,
        Token::Literal(_) | Token::Symbol(_) => false,
    };
    !(token.is_symbol("(") && called)
}

/// Keywords that are functions too.
const CALLED: [&str; 6] = ["cast", "raise", "replace", "like", "glob", "if"];

/// Whether the last token is the sign of an operand, not an operator between two operands.
fn is_sign(tokens: &[Token]) -> bool {
    let Some((last, before)) = tokens.split_last() else { return false };
    let sign = ["-", "+", "~"].into_iter().any(|sign| last.is_symbol(sign));
    sign && match before.last() {
        None => true,
        Some(Token::Symbol(symbol)) => symbol != ")",
        Some(Token::Word(word)) => keyword(word).is_some(),
        Some(Token::Quoted(_) | Token::Literal(_)) => false,
    }
}

/// A name as SQL writes it: in quotes if it would not be a name without them.
pub(super) fn name(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if starts && name.chars().all(plain) && keyword(name) != Some(Keyword::Reserved) {
        return name.to_owned();
    }
    quoted_name(name)
}

/// Names with commas between.
pub(super) fn name_list(names: &[String]) -> String {
    names.iter().map(|each| name(each)).collect::<Vec<_>>().join(", ")
}

/// A heading with lines below it. Each line begins with the prefix, also if one of them contains
/// several.
pub(super) fn indented(mut text: String, lines: &[String], prefix: &str) -> String {
    for line in lines.iter().flat_map(|line| line.split('\n')) {
        text.push('\n');
        // A line must not end in blanks, which editors would remove from a snapshot.
        text.push_str(if line.is_empty() { prefix.trim_end() } else { prefix });
        text.push_str(line);
    }
    text
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Keyword {
    /// It is a name only in quotes.
    Reserved,
    Unreserved,
}

fn keyword(word: &str) -> Option<Keyword> {
    static SETS: LazyLock<[HashSet<&str>; 2]> =
        LazyLock::new(|| [RESERVED, UNRESERVED].map(|words| words.split_whitespace().collect()));
    let word = word.to_ascii_lowercase();
    if SETS[0].contains(&*word) {
        return Some(Keyword::Reserved);
    }
    SETS[1].contains(&*word).then_some(Keyword::Unreserved)
}

/// <https://www.sqlite.org/lang_keywords.html>, without those that `%fallback ID` of SQLite's
/// grammar lists.
const RESERVED: &str = "
    add all alter and as autoincrement between case check collate commit constraint create
    default deferrable delete distinct drop else escape exists foreign from group having in
    index insert into is isnull join limit not nothing notnull null on or order primary
    references returning select set table then to transaction union unique update using values
    when where";

/// The other keywords, the two truth values, and the rows of a trigger.
const UNRESERVED: &str = "
    abort action after always analyze asc attach before begin by cascade cast column conflict
    cross current current_date current_time current_timestamp database deferred desc detach do
    each end except exclude exclusive explain fail false filter first following for full
    generated glob groups if ignore immediate indexed initially inner instead intersect key last
    left like match materialized natural new no nulls of offset old others outer over partition
    plan pragma preceding query raise range recursive regexp reindex release rename replace
    restrict right rollback row rows savepoint temp temporary ties trigger true unbounded vacuum
    view virtual window with without";

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(sql: &str) -> String {
        print(&tokens(sql))
    }

    fn item_count(sql: &str) -> usize {
        items(&tokens(sql)).len()
    }

    #[test]
    fn commas_in_strings_names_and_brackets_are_no_separators() {
        assert_eq!(item_count("a DEFAULT ',', b"), 2);
        assert_eq!(item_count(r#"a DEFAULT 'it''s, (', "b,", `c,`, [d,("]"#), 4);
        assert_eq!(item_count("a CHECK (a IN (1, (2), f(3, 4))), b"), 2);
        assert_eq!(item_count("a -- one, two\n, b /* three, * / four, */, c"), 3);
    }

    #[test]
    fn a_name_prints_the_same_however_it_is_quoted() {
        for quoted in ["due", "\"due\"", "`due`", "[due]"] {
            assert_eq!(printed(quoted), "due");
        }
        assert_eq!(
            printed("[two words], `one\"quote`, \"check\", [key]"),
            r#""two words", "one""quote", "check", key"#
        );
    }

    #[test]
    fn white_space_comments_and_case_of_keywords_do_not_matter() {
        let expected =
            "priority >= -1 and title in ('A', 'b''c') or not lower(title) like 'x%' escape '\\'";
        let tight = "priority>=-1 AND title IN('A','b''c')OR NOT LOWER(title)LIKE'x%' ESCAPE'\\'";
        let loose = "priority >= - 1 -- or 2\n and title\tin ( 'A' , 'b''c' ) or /* ? */ not lower \
            ( title ) like 'x%' escape '\\'";
        assert_eq!(printed(tight), expected);
        assert_eq!(printed(loose), expected);
    }

    #[test]
    fn numbers_blobs_and_operators_stay_whole() {
        assert_eq!(printed("a+1.5e-3*.5-0xFF||X'AB'"), "a + 1.5e-3 * .5 - 0xFF || x'ab'");
        assert_eq!(
            printed("a->>'$.b'<>-+b AND main.t.c==1"),
            "a ->> '$.b' <> -+b and main.t.c == 1"
        );
        assert_eq!(printed("grün = 'ß'"), "grün = 'ß'");
    }

    #[test]
    fn what_is_not_closed_ends_with_the_text() {
        for odd in [
            "'", "\"a", "[", "/*", "/* *", "--", "x'", "1e", "1e+", "(", ")", "((", "a.", "", "-",
            "é'é",
        ] {
            let tokens = tokens(odd);
            print(&tokens);
            items(&tokens);
            bracketed(&tokens);
        }
    }
}
