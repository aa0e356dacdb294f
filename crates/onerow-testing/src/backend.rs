//! The kinds of database that tests run on.

use std::{
    env,
    io::{self, Write},
    thread,
};

use super::{TestDatabase, template::Store};
use onerow::Registry;

const VARIABLE: &str = "ONEROW_TEST_BACKENDS";

/// A kind of database that tests run on. It makes the test databases of that kind.
///
/// Each test has its own database. Making one is quick, however many migrations there are: the kit
/// migrates a template once for each build of the test program, and copies it (`CREATE DATABASE …
/// TEMPLATE`, or a copy of the file). That works for migrations without fields, such as those of
/// [`registry!`](onerow::registry!), because the kit tells them apart by their types. If a
/// migration of the registry has fields, each database is migrated anew from there on. The clock, a
/// file or a variable that a migration reads is as it was when the template was built.
///
/// The methods panic if a database cannot be made or a migration fails, and say why: that is how a
/// test fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// A file.
    Sqlite,
    /// A database on a server: the one that `TEST_POSTGRES_URL` names, or a throwaway server that
    /// the tests of a user share.
    Postgres,
}

impl Backend {
    pub(super) const ALL: [Self; 2] = [Self::Sqlite, Self::Postgres];

    /// Its name in `ONEROW_TEST_BACKENDS`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }

    /// An empty database.
    ///
    /// # Panics
    /// If there is no server, or no room.
    pub async fn empty_database(self) -> TestDatabase {
        self.database_at(Registry::new(Vec::new()), -1).await
    }

    /// A database with all migrations of the registry applied, as the app finds it.
    ///
    /// # Panics
    /// Also if a migration fails.
    pub async fn database(self, registry: Registry) -> TestDatabase {
        let latest = registry.latest();
        self.database_at(registry, latest).await
    }

    /// A database with all migrations before this one applied.
    ///
    /// # Panics
    /// Also if a migration fails, or the registry has no such version.
    pub async fn database_before(self, registry: Registry, version: i32) -> TestDatabase {
        let latest = registry.latest();
        assert!(
            (0..=latest).contains(&version),
            "the registry has no migration {version}: its last is {latest}"
        );
        self.database_at(registry, version - 1).await
    }

    /// A database with the migrations up to this version applied; none for −1.
    ///
    /// # Panics
    /// Also if a migration fails, or the registry has no such version.
    pub async fn database_at(self, registry: Registry, version: i32) -> TestDatabase {
        let latest = registry.latest();
        assert!(
            (-1..=latest).contains(&version),
            "the registry has no version {version}: its last is {latest}"
        );
        TestDatabase::at(&*self.store(), registry, version).await
    }

    fn store(self) -> Box<dyn Store> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite => Box::new(super::sqlite::Files),
            #[cfg(feature = "postgres")]
            Self::Postgres => Box::new(super::postgres::Server::of_this_process()),
            #[cfg(not(all(feature = "sqlite", feature = "postgres")))]
            other => panic!("build with the cargo feature \"{}\" of onerow-testing", other.name()),
        }
    }

    /// Whether `ONEROW_TEST_BACKENDS` lets the tests of this backend run. If not, it prints which
    /// test it leaves out.
    ///
    /// It is for tests of one backend alone; [`on_every_backend!`](crate::on_every_backend) asks by
    /// itself.
    ///
    /// # Panics
    /// If the variable holds a name that is no backend's: a typo must not leave out all tests.
    #[must_use]
    pub fn is_wanted(self) -> bool {
        let list = env::var(VARIABLE).unwrap_or_default();
        if names(&list).contains(&self) {
            return true;
        }
        // `eprintln!` would not do: the test harness hides what it prints if the test passes.
        let current = thread::current();
        let _ = writeln!(
            io::stderr(),
            "left out by {VARIABLE}={list}: {}",
            current.name().unwrap_or("a test")
        );
        false
    }
}

/// The backends of a list of names; all backends if the list is empty.
fn names(list: &str) -> Vec<Backend> {
    let names: Vec<_> = list.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    if names.is_empty() {
        return Backend::ALL.into();
    }
    let known = |name: &str| Backend::ALL.into_iter().find(|backend| backend.name() == name);
    names
        .into_iter()
        .map(|name| {
            known(name)
                .unwrap_or_else(|| panic!("{VARIABLE} names {name:?}; known are: sqlite, postgres"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_is_all_backends() {
        assert_eq!(names(""), Backend::ALL);
        assert_eq!(names(" postgres , "), [Backend::Postgres]);
    }

    #[test]
    #[should_panic(expected = "names \"postgresql\"; known are")]
    fn a_slip_in_the_list_is_told() {
        names("sqlite,postgresql");
    }
}
