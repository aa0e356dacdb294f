//! The schema of a database as a value: to print, to compare, to inspect.

#![cfg_attr(docsrs, feature(doc_cfg))]

// sea-schema 0.18 would not do: of PostgreSQL's indexes it reads only unique ones, and it drops
// expressions, collations and predicates.

mod create_table;
mod difference;
mod entity;
mod postgres;
mod sql;
mod sqlite;

use std::{
    collections::BTreeMap,
    fmt::{self, Debug, Display, Formatter},
};

use sea_orm::{ConnectionTrait, DatabaseBackend, DbErr, QueryResult, Statement};

pub use difference::Difference;
pub use entity::EntityDifference;

/// The schema of a database: its tables and its other objects.
///
/// It prints as text for snapshot tests and reviewers. The same schema prints the same text,
/// whatever the order and the spelling of its statements. [`Debug`] prints the same, so that
/// `assert_eq!` can be read.
///
/// It holds tables with their columns, constraints, indexes and triggers, and views; on PostgreSQL
/// also materialized views, enum and composite types, domains, sequences, functions, procedures and
/// aggregates. It holds nothing else: no privileges, policies, rules or comments, no foreign
/// tables, not the options of an identity. Objects of PostgreSQL's extensions are left out.
///
/// PostgreSQL words expressions itself, and some of them differ by its version: up to 15, each
/// column of a view names its table.
///
/// ```
/// use onerow::prelude::*;
/// use onerow_testing::Schema;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let db = Database::connect("sqlite::memory:").await?;
/// db.execute_unprepared("CREATE TABLE members (id INTEGER PRIMARY KEY, email TEXT UNIQUE)")
///     .await?;
/// let before = Schema::of(&db).await?;
/// assert_eq!(
///     before.to_string(),
///     "table members\n  id integer not null\n  email text\n  primary key (id)\n  unique (email)"
/// );
///
/// db.execute_unprepared("ALTER TABLE members ADD COLUMN nick TEXT").await?;
/// let after = Schema::of(&db).await?;
/// assert_eq!(before.difference(&after).to_string(), "table members\n+ nick text");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Schema {
    /// Tables and views by name: a database has one namespace for both.
    relations: BTreeMap<String, Table>,
    /// The lines of every other object, by its heading.
    others: Objects,
}

/// The lines of each object, by its heading.
type Objects = BTreeMap<String, Vec<String>>;

impl Schema {
    /// Reads the schema through any connection, also inside a transaction.
    ///
    /// On PostgreSQL it is the first schema of the search path, on SQLite the main database. A
    /// migrator's own tables are in it; [`without`](Self::without) leaves them out.
    ///
    /// # Errors
    /// If a query fails. [`DbErr::Custom`] if the search path names no schema, or the database is
    /// neither PostgreSQL nor SQLite.
    pub async fn of(db: &impl ConnectionTrait) -> Result<Self, DbErr> {
        match db.get_database_backend() {
            DatabaseBackend::Postgres => postgres::read(db).await,
            DatabaseBackend::Sqlite => sqlite::read(db).await,
            other => Err(DbErr::Custom(format!("the schema of {other:?} cannot be read"))),
        }
    }

    /// The table of this name, written without quotes.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.relations.get(name).filter(|relation| relation.kind == Kind::Table)
    }

    /// The tables, by name.
    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        self.relations.values().filter(|relation| relation.kind == Kind::Table)
    }

    /// The changes that turn this schema into the other: `-` is only here, `+` only there.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Difference {
        Difference::between(&self.objects(), &other.objects())
    }

    /// # Panics
    /// If they are not the same, with the [difference](Self::difference).
    #[track_caller]
    pub fn assert_same_as(&self, other: &Self) {
        let difference = self.difference(other);
        assert!(
            difference.is_empty(),
            "the schemas differ; - is only in the first, + only in the second\n\n{difference}\n"
        );
    }

    /// The same without these tables, say those of a migrator.
    #[must_use]
    pub fn without(mut self, tables: &[&str]) -> Self {
        self.relations.retain(|name, _| !tables.contains(&name.as_str()));
        self
    }

    fn objects(&self) -> Objects {
        let relations =
            self.relations.values().map(|relation| (relation.heading(), relation.lines()));
        relations.chain(self.others.clone()).collect()
    }

    fn add(&mut self, relation: Table) {
        self.relations.insert(relation.name.clone(), relation);
    }

    /// Puts the parts into an order of its own.
    fn sorted(mut self) -> Self {
        for relation in self.relations.values_mut() {
            relation.constraints.sort();
            relation.indexes.sort();
            relation.triggers.sort();
            relation.keys.unique.sort();
            relation.keys.foreign.sort();
        }
        self
    }
}

impl Display for Schema {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let block = |(heading, lines): (String, Vec<String>)| sql::indented(heading, &lines, "  ");
        f.write_str(&self.objects().into_iter().map(block).collect::<Vec<_>>().join("\n\n"))
    }
}

impl Debug for Schema {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Kind {
    #[default]
    Table,
    View,
    MaterializedView,
    CompositeType,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::View => "view",
            Self::MaterializedView => "materialized view",
            Self::CompositeType => "type",
        }
    }
}

/// A table of a [`Schema`]. It prints as it does there.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Table {
    kind: Kind,
    name: String,
    /// The name, in quotes if it needs them.
    label: String,
    /// The properties of the table as a whole, such as a partition's; the definition of a view.
    options: Vec<String>,
    columns: Vec<Column>,
    constraints: Vec<String>,
    indexes: Vec<String>,
    triggers: Vec<String>,
    keys: Keys,
}

impl Table {
    /// Its name, without quotes.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The column of this name, written without quotes.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The columns, in their order.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The columns of the primary key, in its order; empty if there is none.
    #[must_use]
    pub fn primary_key(&self) -> &[String] {
        &self.keys.primary
    }

    /// The constraints as they are printed, such as `constraint members_pkey primary key (id)`.
    #[must_use]
    pub fn constraints(&self) -> &[String] {
        &self.constraints
    }

    /// The indexes as they are printed, except those that a constraint brings.
    #[must_use]
    pub fn indexes(&self) -> &[String] {
        &self.indexes
    }

    /// The triggers as they are printed.
    #[must_use]
    pub fn triggers(&self) -> &[String] {
        &self.triggers
    }

    fn heading(&self) -> String {
        format!("{} {}", self.kind.name(), self.label)
    }

    fn lines(&self) -> Vec<String> {
        let columns = self.columns.iter().map(Column::to_string);
        let after = [&self.constraints, &self.indexes, &self.triggers].into_iter().flatten();
        self.options.iter().cloned().chain(columns).chain(after.cloned()).collect()
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&sql::indented(self.heading(), &self.lines(), "  "))
    }
}

impl Debug for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

/// A column of a [`Table`]. It prints as it does there.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Column {
    /// Its name, without quotes.
    pub name: String,
    /// The name, in quotes if it needs them.
    label: String,
    /// Its type, in lower case: on PostgreSQL as the server prints it, on SQLite as it was
    /// declared.
    pub data_type: String,
    /// The collation, if it is not the type's own.
    pub collation: Option<String>,
    /// Whether it may be NULL. The integer primary key of an SQLite table may not.
    pub nullable: bool,
    /// The expression of its default, as the database prints it.
    pub default: Option<String>,
    /// How the database makes its values: `by default as identity`, `always as (lower(email))
    /// stored`.
    pub generated: Option<String>,
}

impl Display for Column {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)?;
        let clause = |keyword: &str, value: &Option<String>| {
            value.as_ref().map_or(String::new(), |value| format!(" {keyword}{value}"))
        };
        if !self.data_type.is_empty() {
            write!(f, " {}", self.data_type)?;
        }
        f.write_str(&clause("collate ", &self.collation))?;
        f.write_str(if self.nullable { "" } else { " not null" })?;
        f.write_str(&clause("default ", &self.default))?;
        f.write_str(&clause("generated ", &self.generated))
    }
}

impl Debug for Column {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

/// A table's constraints and unique indexes, in the form in which an entity is compared.
#[derive(Clone, PartialEq, Eq, Default)]
struct Keys {
    primary: Vec<String>,
    /// The columns, sorted, of each unique constraint and of each unique index without expressions.
    unique: Vec<Vec<String>>,
    foreign: Vec<ForeignKey>,
    /// SQLite's column for the row's number.
    row_number: Option<String>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct ForeignKey {
    columns: Vec<String>,
    table: String,
    target: Vec<String>,
    /// `cascade` and the like; empty for no action.
    on_delete: String,
    on_update: String,
}

impl Display for ForeignKey {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let names = sql::name_list;
        write!(f, "foreign key ({}) references {}", names(&self.columns), sql::name(&self.table))?;
        if !self.target.is_empty() {
            write!(f, "({})", names(&self.target))?;
        }
        for (event, action) in [("delete", &self.on_delete), ("update", &self.on_update)] {
            if !action.is_empty() {
                write!(f, " on {event} {action}")?;
            }
        }
        Ok(())
    }
}

/// A constraint as it is printed.
fn named(label: Option<&str>, definition: &str) -> String {
    label.map_or(definition.into(), |label| format!("constraint {label} {definition}"))
}

async fn rows(
    db: &impl ConnectionTrait,
    sql: impl Into<String>,
) -> Result<Vec<QueryResult>, DbErr> {
    db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await
}

fn text(row: &QueryResult, index: usize) -> Result<String, DbErr> {
    row.try_get_by_index(index)
}

fn optional(row: &QueryResult, index: usize) -> Result<Option<String>, DbErr> {
    row.try_get_by_index(index)
}
