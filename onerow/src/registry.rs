//! The migrations, in order.

use crate::{Database, Error, MigrationTrait, Up, migration, version};

/// The migrations of an app: the index of each is its version.
///
/// Built by [`registry!`](crate::registry!) from modules, or by [`new`](Self::new) from any list.
pub struct Registry {
    migrations: Vec<Box<dyn MigrationTrait>>,
}

impl Registry {
    /// A registry of these migrations; the first is version 0.
    #[must_use]
    pub fn new(migrations: Vec<Box<dyn MigrationTrait>>) -> Self {
        Self { migrations }
    }

    /// The version of the last migration; −1 where there is none.
    #[must_use]
    pub fn latest(&self) -> i32 {
        // Two thousand million migrations do not fit a registry.
        i32::try_from(self.migrations.len()).unwrap_or(i32::MAX) - 1
    }

    /// Applies what is pending, each migration once, whoever else tries at the same time.
    ///
    /// The [`Up`] that it returns takes options, and is awaited.
    #[must_use = "nothing runs until it is awaited"]
    pub fn up<'a>(&'a self, db: &'a Database) -> Up<'a> {
        Up::new(self, db)
    }

    /// Which migrations are applied. One `SELECT`: it changes nothing, and needs no right to.
    pub async fn status(&self, db: &Database) -> Result<Status, Error> {
        let version = version::read(db.pool()?).await?.version().ok_or_else(Error::being_written)?;
        let migrations = (0..).zip(&self.migrations);
        let migrations = migrations.map(|(number, migration)| MigrationStatus {
            version: number,
            description: migration.description().to_owned(),
            applied: number <= version,
        });
        Ok(Status { version, latest: self.latest(), migrations: migrations.collect() })
    }

    pub(crate) fn get(&self, version: i32) -> Option<&dyn MigrationTrait> {
        self.migrations.get(usize::try_from(version).ok()?).map(AsRef::as_ref)
    }
}

/// What [`Registry::status`] finds.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Status {
    /// The version that the database holds; −1 where nothing is applied yet.
    pub version: i32,
    /// The last version in the registry.
    pub latest: i32,
    /// Each migration of the registry, in order.
    pub migrations: Vec<MigrationStatus>,
}

impl Status {
    /// Whether the database holds a version that this build does not know.
    #[must_use]
    pub fn is_ahead(&self) -> bool {
        self.version > self.latest
    }

    /// Whether [`up`](Registry::up) would find something to do.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.version < self.latest
    }
}

/// One migration of a [`Status`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MigrationStatus {
    /// Its version.
    pub version: i32,
    /// Its [`description`](MigrationTrait::description).
    pub description: String,
    /// Whether the database has it.
    pub applied: bool,
}

impl MigrationStatus {
    /// The module's name: `m0007`.
    #[must_use]
    pub fn name(&self) -> String {
        migration::name(self.version)
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
#[macro_export]
macro_rules! registry {
    ($($module:ident),* $(,)?) => {{
        const _: () = {
            let names: &[&str] = &[$(::core::stringify!($module)),*];
            let mut version = 0;
            while version < names.len() {
                $crate::__private::check_name(names, version);
                version += 1;
            }
        };
        $crate::Registry::new(::std::vec![$(
            ::std::boxed::Box::new($module::Migration) as ::std::boxed::Box<dyn $crate::MigrationTrait>
        ),*])
    }};
}

/// Panics, at compile time, unless the name at this version is `m` and the version in four digits or more.
///
/// `track_caller` has the compiler show the list, not this function.
#[doc(hidden)]
#[track_caller]
pub const fn check_name(names: &[&str], version: usize) {
    let Some(number) = number_of(names[version]) else {
        panic!("a migration's module is named `m` and its number in four digits: m0000, m0001, …");
    };
    if number == version {
        return;
    }
    assert!(!is_listed(names, 0, version, number), "a migration is listed twice");
    assert!(
        !is_listed(names, version + 1, names.len(), version),
        "the migrations are out of order: list m0000, m0001, … ascending"
    );
    panic!("a migration is missing: the modules are numbered without gaps from m0000");
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
