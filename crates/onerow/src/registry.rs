//! The migrations, in order.

use sea_orm::DatabaseConnection;

use crate::{
    database::Database,
    error::{Error, ErrorKind},
    migration::{MigrationTrait, module_name},
    table::TableName,
    tool::Tool,
};

/// The migrations of an app: the index of each is its version.
///
/// Built by [`registry!`](crate::registry!) from modules, by [`new`](Self::new) from any list, and, of migrations that were
/// written for another tool, by [`from_migrator`](Self::from_migrator) and [`embed_migrations!`](crate::embed_migrations!).
pub struct Registry {
    migrations: Vec<Box<dyn MigrationTrait>>,
    table: TableName,
    /// The number of the first module behind a base, and the one that is next there, where they differ.
    misnumbered: Option<(i32, i32)>,
    /// Where another tool has kept what it applied of these, if that is not where it does by default.
    history: Option<(Tool, TableName)>,
}

impl Registry {
    /// A registry of these migrations; the first is version 0.
    #[must_use]
    pub fn new(migrations: Vec<Box<dyn MigrationTrait>>) -> Self {
        Self { migrations, table: TableName::default(), misnumbered: None, history: None }
    }

    /// Keeps the version in a table of this name, instead of `schema_migration`.
    ///
    /// For a library that brings tables of its own into an app's database: each registry with a table of its own has its own
    /// version and its own lock, and knows nothing of the others. On SQLite the write lock is the whole database's, so
    /// there their transactions take turns.
    ///
    /// Never change it once a database has the table: the version would be looked for in another, and not be there.
    ///
    /// # Errors
    /// What uses the registry gives [`ErrorKind::InvalidTable`] for a name that is empty or longer than 63 bytes.
    ///
    /// ```
    /// # use onerow::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), onerow::Error> {
    /// # let (app, sessions) = (Registry::new(vec![]), Registry::new(vec![]));
    /// let db = Database::connect("sqlite::memory:").await?;
    /// sessions.with_table("session_migration").up(&db).await?;
    /// app.up(&db).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_table(self, name: impl Into<String>) -> Self {
        Self { table: self.table.named(name.into()), ..self }
    }

    /// Keeps that table in this schema of PostgreSQL, which is created if need be, instead of the first of the search path.
    ///
    /// Of the table alone: what migrations do is not moved there. SQLite has no schemas, so there it is a part of the table's
    /// name: `session.schema_migration`.
    ///
    /// # Errors
    /// What uses the registry gives [`ErrorKind::InvalidTable`], as for the table's name.
    #[must_use]
    pub fn in_schema(self, name: impl Into<String>) -> Self {
        Self { table: self.table.in_schema(name.into()), ..self }
    }

    /// The version of the last migration; −1 where there is none.
    #[must_use]
    pub fn latest(&self) -> i32 {
        // Two thousand million migrations do not fit a registry.
        i32::try_from(self.migrations.len()).unwrap_or(i32::MAX) - 1
    }

    /// Says in which table another tool has kept what it applied of these migrations, where that is not the tool's own default:
    /// `name` or `schema.name`.
    ///
    /// [`adopt`](Self::adopt) reads it, and [`up`](Self::up) refuses to apply what is listed there. Of quart-db, whose migrations have
    /// numbers and no names, `up` knows only where this says so.
    #[must_use]
    pub fn adopting_from(self, tool: Tool, table: &str) -> Self {
        Self { history: Some((tool, TableName::parse(table))), ..self }
    }

    /// The migrations of a base, and behind them these, whose first is of this number.
    pub(crate) fn continued(
        base: Self,
        first: Option<i32>,
        modules: Vec<Box<dyn MigrationTrait>>,
    ) -> Self {
        let next = base.latest() + 1;
        let misnumbered = first.filter(|first| *first != next).map(|first| (first, next));
        let mut migrations = base.migrations;
        migrations.extend(modules);
        Self { migrations, misnumbered: base.misnumbered.or(misnumbered), ..base }
    }

    /// The pool, and the table as it is called there, if this registry can be used on it.
    pub(crate) fn on<'a>(
        &self,
        db: &'a Database,
    ) -> Result<(&'a DatabaseConnection, TableName), Error> {
        let pool = db.connection()?;
        if let Some((found, expected)) = self.misnumbered {
            let message = format!(
                "the registry goes on with {} where {} is next; nothing was changed",
                module_name(found),
                module_name(expected)
            );
            return Err(Error::new(ErrorKind::Misnumbered, message));
        }
        self.table.check()?;
        Ok((pool, self.table.clone().on(pool.get_database_backend())))
    }

    /// The same of sea-orm-migration, which quotes the name, dots and all.
    pub(crate) fn kept_by_sea_orm_migration(self, table: String) -> Self {
        Self { history: Some((Tool::SeaOrmMigration, TableName::default().named(table))), ..self }
    }

    /// Where this tool has kept what it applied.
    pub(crate) fn history_of(&self, tool: Tool) -> TableName {
        let told = self.history.clone().filter(|(told, _)| *told == tool);
        told.map_or_else(|| tool.table(), |(_, table)| table)
    }

    /// Whether it was said where this tool has kept what it applied.
    pub(crate) fn has_history(&self, tool: Tool) -> bool {
        self.history.as_ref().is_some_and(|(told, _)| *told == tool)
    }

    /// The old tool's table, by default or as it was said, that this text names.
    pub(crate) fn old_table_in(&self, text: &str) -> Option<(Tool, TableName)> {
        let by_default = Tool::ALL.into_iter().filter(|tool| *tool != Tool::QuartDb);
        let by_default = by_default.map(|tool| (tool, tool.table()));
        by_default.chain(self.history.clone()).find(|(_, table)| text.contains(table.name()))
    }

    pub(crate) fn has_any_history(&self) -> bool {
        self.history.is_some()
    }

    /// Whether any migration stands for one of another tool.
    pub(crate) fn replaces_any(&self) -> bool {
        self.migrations.iter().any(|migration| !migration.replaces().is_empty())
    }

    /// The migrations, each with its version.
    pub fn migrations(&self) -> impl Iterator<Item = (i32, &dyn MigrationTrait)> {
        (0..).zip(self.migrations.iter().map(AsRef::as_ref))
    }

    /// The migration of this version.
    #[must_use]
    pub fn get(&self, version: i32) -> Option<&dyn MigrationTrait> {
        self.migrations.get(usize::try_from(version).ok()?).map(AsRef::as_ref)
    }
}

/// The [`Registry`] of the modules `m0000`, `m0001`, …, in scope where it stands, each with a `Migration`.
///
/// A gap, a duplicate, a wrong order or a badly formed name does not compile:
///
/// ```compile_fail
/// # mod m0000 { pub struct Migration; }
/// # mod m0002 { pub struct Migration; }
/// onerow::registry![m0000, m0002];
/// ```
///
/// Behind `..` and another registry, of migrations that were written for another tool, the numbers go on where that ends:
///
/// ```
/// # mod m0002 {
/// #     use onerow::prelude::*;
/// #     pub struct Migration;
/// #     #[async_trait]
/// #     impl MigrationTrait for Migration {
/// #         async fn migrate(&self, _: &Database) -> Result<(), DbErr> { Ok(()) }
/// #     }
/// # }
/// # use onerow::Registry;
/// # fn former() -> Registry { Registry::new(vec![Box::new(m0002::Migration), Box::new(m0002::Migration)]) }
/// let registry = onerow::registry![..former(), m0002];
/// assert_eq!(registry.latest(), 2);
/// ```
///
/// How many those are is not known to the compiler: where the first module has not the next number, what uses the registry
/// gives [`ErrorKind::Misnumbered`].
#[macro_export]
macro_rules! registry {
    (..$base:expr $(, $module:ident)* $(,)?) => {{
        const FIRST: ::core::option::Option<i32> =
            $crate::__private::check_names(&[$(::core::stringify!($module)),*], false);
        $crate::__private::continued($base, FIRST, ::std::vec![$(
            ::std::boxed::Box::new($module::Migration) as ::std::boxed::Box<dyn $crate::MigrationTrait>
        ),*])
    }};
    ($($module:ident),* $(,)?) => {{
        const _: ::core::option::Option<i32> =
            $crate::__private::check_names(&[$(::core::stringify!($module)),*], true);
        $crate::Registry::new(::std::vec![$(
            ::std::boxed::Box::new($module::Migration) as ::std::boxed::Box<dyn $crate::MigrationTrait>
        ),*])
    }};
}

/// See [`Registry::continued`].
#[doc(hidden)]
#[must_use]
pub fn continued(
    base: Registry,
    first: Option<i32>,
    modules: Vec<Box<dyn MigrationTrait>>,
) -> Registry {
    Registry::continued(base, first, modules)
}

/// Panics, at compile time, unless the names are `m` and a number in four digits or more, without gaps; gives the first.
///
/// `track_caller` has the compiler show the list, not this function.
#[doc(hidden)]
#[must_use]
#[track_caller]
pub const fn check_names(names: &[&str], from_zero: bool) -> Option<i32> {
    let Some((first, _)) = names.split_first() else { return None };
    let start = if from_zero { 0 } else { checked_number_of(first) };
    let mut at = 0;
    while at < names.len() {
        check_name(names, at, start);
        at += 1;
    }
    assert!(start <= i32::MAX as usize, "a version is a number below two thousand million");
    #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap)] // As is asserted.
    Some(start as i32)
}

#[track_caller]
const fn check_name(names: &[&str], at: usize, start: usize) {
    let number = checked_number_of(names[at]);
    if number == start + at {
        return;
    }
    assert!(!is_listed(names, 0, at, number), "a migration is listed twice");
    assert!(
        !is_listed(names, at + 1, names.len(), start + at) && number > start,
        "the migrations are out of order: list m0000, m0001, … ascending"
    );
    panic!("a migration is missing: the modules are numbered without gaps from m0000");
}

#[track_caller]
const fn checked_number_of(name: &str) -> usize {
    let Some(number) = number_of(name) else {
        panic!("a migration's module is named `m` and its number in four digits: m0000, m0001, …");
    };
    number
}

/// Whether one of the names from `start` to before `end` has this number. In constants there are no iterators yet.
const fn is_listed(names: &[&str], start: usize, end: usize, number: usize) -> bool {
    let mut at = start;
    while at < end {
        if let Some(listed) = number_of(names[at])
            && listed == number
        {
            return true;
        }
        at += 1;
    }
    false
}

/// The number of a well-formed name. More than four digits only where four do not do.
const fn number_of(name: &str) -> Option<usize> {
    let name = name.as_bytes();
    if name.len() < 5 || name[0] != b'm' || (name.len() > 5 && name[1] == b'0') {
        return None;
    }
    let mut number = 0;
    let mut at = 1;
    while at < name.len() {
        if !name[at].is_ascii_digit() {
            return None;
        }
        number = number * 10 + (name[at] - b'0') as usize;
        at += 1;
    }
    Some(number)
}
