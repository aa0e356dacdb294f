//! The parts of a table that only the text of SQLite's `CREATE TABLE` tells: constraints and their
//! names, collations, generated columns.

use super::{
    ForeignKey,
    sql::{Token, bracketed, items, name, print},
};

/// `CREATE TABLE`, as far as no pragma tells its parts.
#[derive(Default)]
pub(super) struct CreateTable {
    pub(super) constraints: Vec<Constraint>,
    /// The columns, by name.
    pub(super) columns: Vec<(String, ColumnDetail)>,
}

pub(super) struct Constraint {
    pub(super) label: Option<String>,
    pub(super) rule: Rule,
}

/// A constraint. It may be of a single column, and written there.
pub(super) enum Rule {
    PrimaryKey(String),
    /// The columns, and the definition.
    Unique(Vec<String>, String),
    /// The expression.
    Check(String),
    /// The key, and when it is checked.
    ForeignKey(ForeignKey, &'static str),
}

#[derive(Default)]
pub(super) struct ColumnDetail {
    pub(super) collation: Option<String>,
    pub(super) generated: Option<String>,
}

impl CreateTable {
    pub(super) fn parse(sql: &[Token]) -> Self {
        let mut statement = Self::default();
        let virtual_table = sql.get(1).is_some_and(|token| token.is_word("virtual"));
        // The body follows `CREATE TABLE name`.
        let body = sql.get(3..).and_then(bracketed).filter(|_| !virtual_table);
        for item in body.map(|(body, _)| items(body)).unwrap_or_default() {
            statement.parse_item(item);
        }
        statement
    }

    /// Reads a column, or constraints of the table: the commas between those may be missing.
    fn parse_item(&mut self, item: &[Token]) {
        const CONSTRAINTS: [&str; 5] = ["constraint", "primary", "unique", "check", "foreign"];
        let Some((first, rest)) = item.split_first() else { return };
        if CONSTRAINTS.into_iter().any(|word| first.is_word(word)) {
            self.parse_clauses(Clauses { rest: item, column: None });
        } else {
            let column = first.text();
            self.columns.push((column.clone(), ColumnDetail::default()));
            self.parse_clauses(Clauses { rest, column: Some(column) });
        }
    }

    fn parse_clauses(&mut self, mut clauses: Clauses) {
        let mut label = None;
        while !clauses.rest.is_empty() {
            if clauses.accept("constraint") {
                label = clauses.next().map(|token| name(&token.text()));
            } else if let Some(rule) = clauses.rule() {
                self.constraints.push(Constraint { label: label.take(), rule });
            } else if let Some((_, column)) = self.columns.last_mut()
                && clauses.detail(column)
            {
                label = None;
            } else {
                // This is a word of the type, or a clause that a pragma tells.
                clauses.next();
            }
        }
    }
}

/// The clauses of a column or of a table.
struct Clauses<'a> {
    rest: &'a [Token],
    column: Option<String>,
}

impl<'a> Clauses<'a> {
    /// Steps over these words, if they are next.
    fn accept(&mut self, words: &str) -> bool {
        let mut rest = self.rest.iter();
        let found =
            words.split(' ').all(|word| rest.next().is_some_and(|token| token.is_word(word)));
        if found {
            self.rest = rest.as_slice();
        }
        found
    }

    fn next(&mut self) -> Option<&'a Token> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    fn bracketed(&mut self) -> Option<&'a [Token]> {
        let (inside, rest) = bracketed(self.rest)?;
        self.rest = rest;
        Some(inside)
    }

    fn rule(&mut self) -> Option<Rule> {
        if self.accept("primary key") {
            Some(self.primary_key())
        } else if self.accept("unique") {
            let (columns, list) = self.key_columns();
            Some(Rule::Unique(columns, format!("({list}){}", self.on_conflict())))
        } else if self.accept("check") {
            let expression = print(self.bracketed().unwrap_or_default());
            self.on_conflict();
            Some(Rule::Check(expression))
        } else if self.accept("foreign key") {
            let columns = names(self.bracketed().unwrap_or_default());
            self.accept("references");
            Some(self.references(columns))
        } else if self.accept("references") {
            let columns = self.column.iter().cloned().collect();
            Some(self.references(columns))
        } else {
            None
        }
    }

    fn primary_key(&mut self) -> Rule {
        let (_, mut list) = self.key_columns();
        self.accept("asc");
        if self.accept("desc") {
            list.push_str(" desc");
        }
        let on_conflict = self.on_conflict();
        let inside = list.strip_suffix(" autoincrement").map(str::to_owned);
        let autoincrement =
            if self.accept("autoincrement") || inside.is_some() { " autoincrement" } else { "" };
        Rule::PrimaryKey(format!("({}){on_conflict}{autoincrement}", inside.unwrap_or(list)))
    }

    /// The names, and the list as it is printed.
    fn key_columns(&mut self) -> (Vec<String>, String) {
        if let Some(column) = &self.column {
            return (vec![column.clone()], name(column));
        }
        let list = self.bracketed().unwrap_or_default();
        (names(list), print(list))
    }

    fn on_conflict(&mut self) -> String {
        if !self.accept("on conflict") {
            return String::new();
        }
        self.next()
            .map_or(String::new(), |token| format!(" on conflict {}", token.text().to_lowercase()))
    }

    fn references(&mut self, columns: Vec<String>) -> Rule {
        let table = self.next().map(Token::text).unwrap_or_default();
        let target = names(self.bracketed().unwrap_or_default());
        let (mut on_delete, mut on_update, mut checked) = (String::new(), String::new(), "");
        loop {
            if self.accept("on delete") {
                on_delete = self.action();
            } else if self.accept("on update") {
                on_update = self.action();
            } else if self.accept("match") {
                // SQLite gives it no meaning.
                self.next();
            } else if let Some(when) = self.checked() {
                checked = when;
            } else {
                return Rule::ForeignKey(
                    ForeignKey { columns, table, target, on_delete, on_update },
                    checked,
                );
            }
        }
    }

    fn action(&mut self) -> String {
        const ACTIONS: [&str; 4] = ["set null", "set default", "cascade", "restrict"];
        let action = ACTIONS.into_iter().find(|action| self.accept(action));
        if action.is_none() {
            self.accept("no action");
        }
        action.unwrap_or_default().into()
    }

    /// SQLite defers only `DEFERRABLE INITIALLY DEFERRED`
    /// (<https://www.sqlite.org/foreignkeys.html#fk_deferred>).
    fn checked(&mut self) -> Option<&'static str> {
        let not = self.accept("not deferrable");
        if !not && !self.accept("deferrable") {
            return None;
        }
        let deferred = self.accept("initially deferred");
        self.accept("initially immediate");
        Some(if deferred && !not { " deferrable initially deferred" } else { "" })
    }

    /// Reads a clause of the column; false if the next clause tells nothing.
    fn detail(&mut self, column: &mut ColumnDetail) -> bool {
        if self.column.is_none() {
            return false;
        }
        if self.accept("collate") {
            column.collation = self.next().map(|token| name(&token.text().to_lowercase()));
        } else if self.accept("as") {
            let expression = print(self.bracketed().unwrap_or_default());
            let kept = if self.accept("stored") { "stored" } else { "virtual" };
            column.generated = Some(format!("always as ({expression}) {kept}"));
        } else if self.accept("default") {
            self.skip_value();
        } else {
            return self.accept("not null") || self.accept("null");
        }
        true
    }

    fn skip_value(&mut self) {
        if self.bracketed().is_none()
            && self.next().is_some_and(|token| matches!(token, Token::Symbol(_)))
        {
            self.next();
        }
    }
}

fn names(list: &[Token]) -> Vec<String> {
    items(list).into_iter().filter_map(|item| item.first()).map(Token::text).collect()
}
