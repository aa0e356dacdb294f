//! Finds the parts of SQL that PostgreSQL looks for by the search path.
//!
//! These are functions, types, collations and relations without a schema, and operators that are
//! not written as `OPERATOR(pg_catalog.…)`. Some forms of syntax look for an operator too. On
//! PostgreSQL 15, with operators for `varchar` in `public`, these did: `IN`, `BETWEEN`, `LIKE`, `IS
//! DISTINCT FROM`, `NULLIF`, `CASE x WHEN`, `= ANY`, `JOIN … USING`. These did not: `COALESCE`,
//! `GREATEST`, `EXTRACT`, `POSITION`, `SUBSTRING`, `TRIM`, `OVERLAY`, `DISTINCT`, `GROUP BY`,
//! `ORDER BY`, `UNION`.

#[derive(Debug, Clone, PartialEq)]
enum Token {
    /// In lower case.
    Word(String),
    /// Without its double quotes.
    Quoted(String),
    Text(String),
    Number,
    /// An operator, or a `::`.
    Symbols(String),
    /// One of `( ) [ ] , ; .`
    Mark(char),
}

/// The same text for messages that differ only in their values.
pub fn shape(sql: &str) -> String {
    let words =
        tokens(sql).into_iter().filter(|token| !matches!(token, Token::Text(_) | Token::Number));
    format!("{:?}", words.collect::<Vec<_>>())
}

/// The parts of a message that the search path decides, except these relations.
pub fn unqualified(sql: &str, relations: &[&str]) -> Vec<String> {
    tokens(sql)
        .split(|token| *token == Token::Mark(';'))
        .flat_map(|tokens| Statement { tokens, relations }.unqualified())
        .collect()
}

struct Statement<'a> {
    tokens: &'a [Token],
    relations: &'a [&'a str],
}

/// Words before a parenthesis that call nothing.
const NO_CALLS: &str = "all and any array as by cast check coalesce conflict else except exists \
    extract filter from greatest group having in join key lateral least limit not on operator or \
    order overlay over partition position primary references returning row select set substring \
    then trim union unique using values when where with";

/// Types that the grammar itself finds in `pg_catalog`.
const TYPES_OF_THE_GRAMMAR: &str = "bigint bit boolean char character dec decimal double float int \
    integer interval national nchar numeric real smallint time timestamp varchar";

/// Syntax that looks for an operator.
const OPERATORS_IN_DISGUISE: &str = "between ilike like natural nullif similar";

/// Words before the name of a relation.
const BEFORE_A_RELATION: &str = "from into join table update";

fn is_one_of(list: &str, word: &str) -> bool {
    list.split_whitespace().any(|listed| listed == word)
}

impl Statement<'_> {
    fn unqualified(&self) -> Vec<String> {
        let rules = [
            Self::call,
            Self::cast,
            Self::type_of_column,
            Self::operator,
            Self::disguise,
            Self::relation,
            Self::catalog,
            Self::collation,
            Self::literal_of_a_name,
        ];
        let by_rules = (0..self.tokens.len())
            .flat_map(|at| rules.iter().filter_map(move |rule| rule(self, at)));
        by_rules.chain(self.of_block()).collect()
    }

    fn word(&self, at: usize) -> Option<&str> {
        match self.tokens.get(at)? {
            Token::Word(word) => Some(word),
            _ => None,
        }
    }

    fn before(&self, at: usize, back: usize) -> Option<&str> {
        self.word(at.checked_sub(back)?)
    }

    fn is(&self, at: usize, mark: char) -> bool {
        self.tokens.get(at) == Some(&Token::Mark(mark))
    }

    fn is_before(&self, at: usize, mark: char) -> bool {
        at.checked_sub(1).is_some_and(|before| self.is(before, mark))
    }

    /// Whether the name at this place has a schema, or is one.
    fn is_qualified(&self, at: usize) -> bool {
        self.is_before(at, '.') || self.is(at + 1, '.')
    }

    fn call(&self, at: usize) -> Option<String> {
        let word = self.word(at)?;
        let is_list_of_columns = self.is_before(at, ')')
            || self.before(at, 1).is_some_and(|before| {
                is_one_of("as exists into on ordinality references table", before)
                    || is_one_of(TYPES_OF_THE_GRAMMAR, word)
            });
        let is_call = self.is(at + 1, '(') && !self.is_before(at, '.') && !is_list_of_columns;
        (is_call && !is_one_of(NO_CALLS, word)).then(|| format!("function {word}"))
    }

    fn cast(&self, at: usize) -> Option<String> {
        let is_cast = self.tokens[at] == Token::Symbols("::".into())
            || (self.word(at) == Some("as") && self.opened_by(at) == Some("cast"));
        is_cast.then(|| self.unqualified_type(at + 1)).flatten()
    }

    /// The word before the parenthesis around this place.
    fn opened_by(&self, at: usize) -> Option<&str> {
        let mut depth = 0;
        for place in (0..at).rev() {
            match self.tokens[place] {
                Token::Mark(')') => depth += 1,
                Token::Mark('(') if depth == 0 => return self.before(place, 1),
                Token::Mark('(') => depth -= 1,
                _ => (),
            }
        }
        None
    }

    fn unqualified_type(&self, at: usize) -> Option<String> {
        let word = self.word(at)?;
        let is_known = self.is(at + 1, '.') || is_one_of(TYPES_OF_THE_GRAMMAR, word);
        (!is_known).then(|| format!("type {word}"))
    }

    fn type_of_column(&self, at: usize) -> Option<String> {
        let is_table =
            self.word(0) == Some("create") && self.tokens.contains(&Token::Word("table".into()));
        let begins = (self.is_before(at, '(') || self.is_before(at, ',')) && self.depth(at) == 1;
        let is_constraint = self
            .word(at)
            .is_some_and(|word| is_one_of("check constraint foreign primary unique", word));
        (is_table && begins && !is_constraint).then(|| self.unqualified_type(at + 1)).flatten()
    }

    fn depth(&self, at: usize) -> usize {
        let count =
            |mark| self.tokens[..at].iter().filter(|token| **token == Token::Mark(mark)).count();
        count('(') - count(')')
    }

    fn operator(&self, at: usize) -> Option<String> {
        let Token::Symbols(symbols) = &self.tokens[at] else { return None };
        let is_qualified = self.is_before(at, '.') && self.opened_by(at) == Some("operator");
        let all_columns = symbols == "*"
            && (self.is_before(at, '(')
                || self.is_before(at, '.')
                || matches!(self.before(at, 1), Some("select" | "unlisten")));
        let is_sign = symbols == "-"
            && self.tokens.get(at + 1) == Some(&Token::Number)
            && !self.follows_a_value(at);
        let is_free = symbols == "::" || is_qualified || all_columns || is_sign || self.assigns(at);
        (!is_free).then(|| format!("operator {symbols}"))
    }

    fn follows_a_value(&self, at: usize) -> bool {
        let Some(before) = at.checked_sub(1) else { return false };
        match &self.tokens[before] {
            Token::Word(word) => !is_one_of("values select then else set", word),
            Token::Mark(')') => self.opened_by(before) != Some("operator"),
            Token::Mark(mark) => *mark == ']',
            Token::Symbols(_) => false,
            _ => true,
        }
    }

    /// `SET x = …`, for a setting or a column.
    fn assigns(&self, at: usize) -> bool {
        let last = |words: &str| {
            (0..at).rev().find(|place| self.word(*place).is_some_and(|word| is_one_of(words, word)))
        };
        let is_in_set =
            last("set where from select").is_some_and(|place| self.word(place) == Some("set"));
        let is_first = |back| {
            self.before(at, back).is_some_and(|word| is_one_of("set local session", word))
                || at.checked_sub(back).is_some_and(|place| self.is(place, ','))
        };
        self.tokens[at] == Token::Symbols("=".into()) && is_in_set && is_first(2)
    }

    fn disguise(&self, at: usize) -> Option<String> {
        let word = self.word(at).filter(|_| !self.is_qualified(at))?;
        let follows = |words: &str| self.word(at + 1).is_some_and(|next| is_one_of(words, next));
        let is_disguise = match word {
            "in" => self.is(at + 1, '(') && self.opened_by(at) != Some("position"),
            "case" => !follows("when"),
            "distinct" => follows("from"),
            "using" => self.is(at + 1, '('),
            word => is_one_of(OPERATORS_IN_DISGUISE, word),
        };
        is_disguise.then(|| format!("the operator of {word}"))
    }

    fn relation(&self, at: usize) -> Option<String> {
        let is_relation =
            self.before(at, 1).is_some_and(|before| is_one_of(BEFORE_A_RELATION, before));
        let is_syntax =
            matches!(self.opened_by(at), Some("extract" | "substring" | "trim" | "overlay"))
                || matches!(self.before(at, 2), Some("distinct" | "for" | "key"));
        let name = match &self.tokens[at] {
            Token::Word(word) if is_one_of("if lateral only select set", word) => return None,
            Token::Word(name) | Token::Quoted(name) => name,
            _ => return None,
        };
        let is_free =
            self.is_qualified(at) || self.relations.contains(&name.as_str()) || self.is_query(name);
        (is_relation && !is_syntax && !is_free && !self.is(at + 1, '('))
            .then(|| format!("relation {name}"))
    }

    /// Whether the name comes from `WITH`.
    fn is_query(&self, name: &str) -> bool {
        let with =
            |at: usize| matches!(self.before(at, 1), Some("with")) || self.is_before(at, ',');
        (1..self.tokens.len())
            .any(|at| self.word(at) == Some(name) && with(at) && self.word(at + 1) == Some("as"))
    }

    /// A catalog counts wherever it stands, also in a list after `FROM`.
    fn catalog(&self, at: usize) -> Option<String> {
        let word = self.word(at)?;
        let is_bare = word.starts_with("pg_") && !self.is_qualified(at) && !self.is(at + 1, '(');
        is_bare.then(|| format!("catalog {word}"))
    }

    fn collation(&self, at: usize) -> Option<String> {
        let is_bare = self.word(at) == Some("collate") && !self.is(at + 2, '.');
        is_bare.then(|| "collation".to_owned())
    }

    /// `'pg_class'::regclass`
    fn literal_of_a_name(&self, at: usize) -> Option<String> {
        let Token::Text(text) = &self.tokens[at] else { return None };
        let is_cast = self.tokens.get(at + 1) == Some(&Token::Symbols("::".into()));
        let is_reg = (at + 2..at + 5)
            .any(|place| self.word(place).is_some_and(|word| word.starts_with("reg")));
        (is_cast
            && is_reg
            && !text.contains('.')
            && text != "pg_catalog"
            && !self.relations.contains(&text.as_str()))
        .then(|| format!("name '{text}'"))
    }

    /// The body of a `DO`.
    fn of_block(&self) -> Vec<String> {
        match self.tokens {
            [Token::Word(word), Token::Text(body), ..] if word == "do" => {
                unqualified(body, self.relations)
            }
            _ => Vec::new(),
        }
    }
}

fn tokens(sql: &str) -> Vec<Token> {
    let mut rest = sql.trim_start();
    let mut tokens = Vec::new();
    while let Some(first) = rest.chars().next() {
        let (token, length) = token(rest, first);
        tokens.extend(token);
        rest = rest[length..].trim_start();
    }
    tokens
}

fn token(rest: &str, first: char) -> (Option<Token>, usize) {
    let until = |end: &str, from: usize| {
        rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len())
    };
    let run = |is_part: fn(char) -> bool| rest.find(|c| !is_part(c)).unwrap_or(rest.len());
    match first {
        '-' if rest.starts_with("--") => (None, until("\n", 0)),
        '/' if rest.starts_with("/*") => (None, until("*/", 2)),
        '\'' => quoted(rest, 0, '\'', false),
        'e' | 'E' if rest[1..].starts_with('\'') => quoted(rest, 1, '\'', true),
        '"' => quoted(rest, 0, '"', false),
        '$' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
            (Some(Token::Number), 1 + number(&rest[1..]))
        }
        '$' => {
            let tag = &rest[..until("$", 1)];
            let end = until(tag, tag.len());
            (Some(Token::Text(rest[tag.len()..end - tag.len()].into())), end)
        }
        c if c.is_ascii_digit() => (Some(Token::Number), number(rest)),
        c if c.is_alphabetic() || c == '_' => {
            let length = run(|c| c.is_alphanumeric() || c == '_' || c == '$');
            (Some(Token::Word(rest[..length].to_lowercase())), length)
        }
        c if "()[],;.".contains(c) => (Some(Token::Mark(c)), 1),
        ':' if rest.starts_with("::") => (Some(Token::Symbols("::".into())), 2),
        _ => {
            let length = run(|c| "+-*/<>=~!@#%^&|`?:".contains(c)).max(first.len_utf8());
            (Some(Token::Symbols(rest[..length].into())), length)
        }
    }
}

fn number(rest: &str) -> usize {
    rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len())
}

/// Reads up to the closing quote. A doubled quote does not close, nor in an `E'…'` one after a
/// backslash.
fn quoted(rest: &str, start: usize, quote: char, escapes: bool) -> (Option<Token>, usize) {
    let mut text = String::new();
    let mut chars = rest[start + 1..].char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' if escapes => text.extend(chars.next().map(|(_, c)| c)),
            c if c == quote && chars.peek().is_some_and(|(_, next)| *next == quote) => {
                text.extend(chars.next().map(|(_, c)| c));
            }
            c if c == quote => {
                let token = if quote == '"' { Token::Quoted(text) } else { Token::Text(text) };
                return (Some(token), start + 1 + at + 1);
            }
            c => text.push(c),
        }
    }
    (Some(Token::Text(text)), rest.len())
}

/// Checks statements that were made for this: which names it finds, and which it does not.
pub fn each_kind_of_name_is_found() {
    let found = |sql: &str| unqualified(sql, &["members"]).join(", ");
    for (sql, expected) in [
        ("SELECT count(*) FROM members", "function count"),
        ("SELECT 1 FROM unnest(ARRAY[1]) AS u(x)", "function unnest"),
        ("SELECT id = 1 FROM members", "operator ="),
        ("SELECT 'a' || id FROM members", "operator ||"),
        ("SELECT id - 1 FROM members", "operator -"),
        ("SELECT id::text, CAST(id AS name) FROM members", "type text, type name"),
        ("SELECT FROM pg_class", "relation pg_class, catalog pg_class"),
        ("SELECT FROM members, pg_class", "catalog pg_class"),
        ("SELECT FROM others", "relation others"),
        ("SELECT 'pg_class'::pg_catalog.regclass", "name 'pg_class'"),
        ("SELECT FROM members ORDER BY email COLLATE \"C\"", "collation"),
        ("SELECT CASE id WHEN 1 THEN 2 END FROM members", "the operator of case"),
        (
            "SELECT nullif(id, 1), id IN (1), id BETWEEN 1 AND 2, id IS DISTINCT FROM 1 \
             FROM members",
            "function nullif, the operator of nullif, the operator of in, the operator of between, \
             the operator of distinct",
        ),
        ("SELECT FROM members JOIN members m USING (id)", "the operator of using"),
        ("UPDATE members SET id = 1 WHERE id = 2", "operator ="),
        ("CREATE TABLE members (id BOOL)", "type bool"),
        ("DO E'BEGIN PERFORM format(\\'x\\'); END'", "function format"),
        ("SELECT 1; SELECT now()", "function now"),
    ] {
        assert_eq!(found(sql), expected, "{sql}");
    }
    for sql in [
        "SELECT pg_catalog.count(*), coalesce(id, -1), extract(epoch FROM id) FROM members \
         WHERE id OPERATOR(pg_catalog.=) 1",
        "SELECT id::int, id::pg_catalog.text, CAST(id AS pg_catalog.text), \
         'pg_catalog.pg_class'::pg_catalog.regclass FROM members",
        "WITH moved AS (UPDATE members SET version = 3, id = 2 RETURNING 1) \
         SELECT pg_catalog.max(1) FROM moved",
        "SELECT CASE WHEN true THEN 1 END, current_user, ARRAY[1], position('a' IN 'b') -- = x()\n \
         FROM members /* = */",
        "SELECT FROM members WHERE id OPERATOR(pg_catalog.=) -1; UNLISTEN *; \
         SELECT 'members'::pg_catalog.regclass",
        "SET LOCAL lock_timeout = 1000; INSERT INTO members (id) VALUES (-1) ON CONFLICT DO NOTHING",
        "SELECT k.position FROM pg_catalog.unnest(ARRAY[1]) WITH ORDINALITY k(attnum, position)",
        "CREATE TABLE IF NOT EXISTS members (id pg_catalog.bool PRIMARY KEY, n INTEGER, \
         CONSTRAINT c CHECK (id))",
        "SELECT 'it''s = a(b)', E'\\'= x(', $$ = y( $$",
    ] {
        assert_eq!(found(sql), "", "{sql}");
    }
}
