//! The migrations, in order.

use std::fmt;

use sea_orm::DatabaseConnection;

use crate::{
    database::Database,
    error::{Error, ErrorKind},
    migration::{MigrationTrait, module_name},
    table::TableName,
    tool::Tool,
};

/// The migrations of an app. The index of each is its version.
///
/// [`registry!`](crate::registry!) makes one from modules, [`new`](Self::new) from any list. From
/// migrations that were written for another tool, [`from_migrator`](Self::from_migrator) and
/// [`embed_migrations!`](crate::embed_migrations!) make one.
pub struct Registry {
    migrations: Vec<Box<dyn MigrationTrait>>,
    table: TableName,
    /// If the first module after a base has a wrong number: that number, and the right one.
    misnumbered: Option<(i32, i32)>,
    /// The old tool and its table, if [`adopting_from`](Self::adopting_from) or a migrator names
    /// it.
    history: Option<(Tool, TableName)>,
}

impl Registry {
    /// Makes a registry of these migrations. The first is version 0.
    #[must_use]
    pub fn new(migrations: Vec<Box<dyn MigrationTrait>>) -> Self {
        Self { migrations, table: TableName::default(), misnumbered: None, history: None }
    }

    /// Keeps the version in a table of this name, instead of `schema_migration`.
    ///
    /// This is for a library that brings tables of its own into an app's database. Each registry
    /// with a table of its own has its own version and its own lock, and knows nothing of the
    /// others. On SQLite a write lock covers the whole database, so there the transactions of
    /// several registries take turns.
    ///
    /// Never change the name once a database has the table: onerow would look for the version in
    /// another table, and find none.
    ///
    /// # Errors
    /// All that uses the registry returns [`ErrorKind::InvalidTable`] if the name is empty, holds a
    /// NUL, or is longer than 63 bytes.
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

    /// Keeps the version table in this schema of PostgreSQL, instead of the first in the search
    /// path. The schema is created if need be.
    ///
    /// It holds only the version table: what migrations do is not moved there. SQLite has no
    /// schemas, so there it becomes a part of the table's name: `session.schema_migration`.
    ///
    /// # Errors
    /// All that uses the registry returns [`ErrorKind::InvalidTable`], as for the name of the
    /// table.
    #[must_use]
    pub fn in_schema(self, name: impl Into<String>) -> Self {
        Self { table: self.table.in_schema(name.into()), ..self }
    }

    /// The version of the last migration. It is −1 if there is none.
    #[must_use]
    pub fn latest(&self) -> i32 {
        // A registry never holds two thousand million migrations.
        i32::try_from(self.migrations.len()).unwrap_or(i32::MAX) - 1
    }

    /// Names the table in which another tool has kept what it applied of these migrations, if that
    /// is not the default of the tool: `name` or `schema.name`.
    ///
    /// [`adopt`](Self::adopt) reads the table, and [`up`](Self::up) refuses to apply what is listed
    /// in it. The migrations of quart-db have numbers and no names, so `up` looks for its table
    /// only if it is named here.
    #[must_use]
    pub fn adopting_from(self, tool: Tool, table: &str) -> Self {
        Self { history: Some((tool, TableName::parse(table))), ..self }
    }

    /// Appends modules, of which the first has this number, to the migrations of a base.
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

    /// The pool, and the name of the version table there.
    ///
    /// # Errors
    /// If this registry cannot be used there.
    pub(crate) fn on<'a>(
        &self,
        db: &'a Database,
    ) -> Result<(&'a DatabaseConnection, TableName), Error> {
        let pool = db.connection()?;
        if let Some((found, expected)) = self.misnumbered {
            let message = format!(
                "the registry continues with {}, but {} comes next; nothing was changed",
                module_name(found),
                module_name(expected)
            );
            return Err(Error::new(ErrorKind::Misnumbered, message));
        }
        self.table.check()?;
        Ok((pool, self.table.clone().on(pool.get_database_backend())))
    }

    /// Names the table of a migrator of sea-orm-migration, which quotes the name, with any dots in
    /// it.
    pub(crate) fn kept_by_sea_orm_migration(self, table: String) -> Self {
        Self { history: Some((Tool::SeaOrmMigration, TableName::default().named(table))), ..self }
    }

    /// The table in which this tool has kept what it applied.
    pub(crate) fn history_of(&self, tool: Tool) -> TableName {
        let told = self.history.clone().filter(|(told, _)| *told == tool);
        told.map_or_else(|| tool.table(), |(_, table)| table)
    }

    /// Whether the registry names the table of this tool.
    pub(crate) fn has_history(&self, tool: Tool) -> bool {
        self.history.as_ref().is_some_and(|(told, _)| *told == tool)
    }

    /// The old tool's table that occurs in this text, if one does: a default one, or the one that
    /// the registry names.
    pub(crate) fn old_table_in(&self, text: &str) -> Option<(Tool, TableName)> {
        let by_default = Tool::ALL.into_iter().filter(|tool| *tool != Tool::QuartDb);
        let by_default = by_default.map(|tool| (tool, tool.table()));
        by_default.chain(self.history.clone()).find(|(_, table)| text.contains(table.name()))
    }

    /// Whether the registry names the table of any tool.
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

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = f.debug_struct("Registry");
        parts.field("latest", &self.latest()).field("table", &self.table).finish_non_exhaustive()
    }
}

/// Makes the [`Registry`] of the modules `m0000`, `m0001`, …, which are in scope and hold a
/// `Migration` each.
///
/// A gap, a duplicate, a wrong order or a badly formed name does not compile:
///
/// ```compile_fail
/// # mod m0000 { pub struct Migration; }
/// # mod m0002 { pub struct Migration; }
/// onerow::registry![m0000, m0002];
/// ```
///
/// `..` puts another registry first, as a rule one of migrations that were written for another
/// tool. The numbers of the modules continue after it:
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
/// # fn former() -> Registry {
/// #     Registry::new(vec![Box::new(m0002::Migration), Box::new(m0002::Migration)])
/// # }
/// let registry = onerow::registry![..former(), m0002];
/// assert_eq!(registry.latest(), 2);
/// ```
///
/// The compiler does not know how many migrations the other registry has. So if the first module
/// does not have the next number, all that uses the registry returns [`ErrorKind::Misnumbered`].
#[macro_export]
macro_rules! registry {
    (..$base:expr $(, $module:ident)* $(,)?) => {{
        const FIRST: ::core::option::Option<i32> =
            $crate::__private::check_names(&[$(::core::stringify!($module)),*], false);
        $crate::__private::continued($base, FIRST, ::std::vec![$(
            ::std::boxed::Box::new($module::Migration)
                as ::std::boxed::Box<dyn $crate::MigrationTrait>
        ),*])
    }};
    ($($module:ident),* $(,)?) => {{
        const _: ::core::option::Option<i32> =
            $crate::__private::check_names(&[$(::core::stringify!($module)),*], true);
        $crate::Registry::new(::std::vec![$(
            ::std::boxed::Box::new($module::Migration)
                as ::std::boxed::Box<dyn $crate::MigrationTrait>
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

/// Panics, at compile time, unless the names are `m` and a number in four digits or more, without
/// gaps. Returns the first number.
///
/// `track_caller` makes the compiler show the list, and not this function.
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

/// Whether one of the names from `start` to before `end` has this number. (A constant function has
/// no iterators yet.)
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

/// The number of a well-formed name. It has more than four digits only if four are too few.
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
