//! The kinds of database that tests run on.

use std::{
    env,
    io::{self, Write},
    thread,
};

use super::{TestDatabase, template::Store};
use onerow::Registry;

const VARIABLE: &str = "ONEROW_TEST_BACKENDS";

/// A kind of database that tests run on, and what makes test databases of that kind.
///
/// Each database is a test's own. They are made quickly, however many migrations there are: the
/// migrated schema is built once for each build of the test program, and copied from then on
/// (`CREATE DATABASE … TEMPLATE`, or a copy of the file). That takes migrations that are told apart
/// by their types, as those of [`registry!`](onerow::registry!) are; a registry with migrations
/// that have fields is migrated for each database. What a migration takes from elsewhere (the
/// clock, a file, a variable) is as it was when the template was built.
///
/// The methods panic where a database cannot be made or a migration fails, with the reason: that is
/// how a test fails.
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
    /// Where there is no server, or no room.
    pub async fn empty_database(self) -> TestDatabase {
        self.database_at(Registry::new(Vec::new()), -1).await
    }

    /// A database with all migrations of the registry applied, as the app finds it.
    ///
    /// # Panics
    /// Also when a migration fails.
    pub async fn database(self, registry: Registry) -> TestDatabase {
        let latest = registry.latest();
        self.database_at(registry, latest).await
    }

    /// A database that waits for this migration: with all before it applied.
    ///
    /// # Panics
    /// Also when a migration fails, or the registry has no such version.
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
    /// Also when a migration fails, or the registry has no such version.
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
            other => panic!("build with the cargo feature \"{}\" of onerow", other.name()),
        }
    }

    /// Whether `ONEROW_TEST_BACKENDS` lets the tests of this backend run; it prints which test it
    /// leaves out.
    ///
    /// For a test that only one backend has; [`on_every_backend!`](crate::on_every_backend) asks by
    /// itself.
    ///
    /// # Panics
    /// When the variable holds a name that no backend has: a slip in it must not leave all of them
    /// out.
    #[must_use]
    pub fn is_wanted(self) -> bool {
        let list = env::var(VARIABLE).unwrap_or_default();
        if names(&list).contains(&self) {
            return true;
        }
        // Not `eprintln!`: the test harness keeps what that prints to itself when the test passes.
        let current = thread::current();
        let _ = writeln!(
            io::stderr(),
            "left out by {VARIABLE}={list}: {}",
            current.name().unwrap_or("a test")
        );
        false
    }
}

/// The backends of a list of names; all of them for an empty list.
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
