//! One specification, run on every backend.

use std::{
    env,
    io::{self, Write},
    thread,
};

use super::TestDatabase;

const VARIABLE: &str = "ONEROW_TEST_BACKENDS";

/// A kind of database that tests run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// A file.
    Sqlite,
    /// A server.
    Postgres,
}

impl Backend {
    const ALL: [Self; 2] = [Self::Sqlite, Self::Postgres];

    /// Its name in `ONEROW_TEST_BACKENDS`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }

    /// Whether `ONEROW_TEST_BACKENDS` lets the tests of this backend run; it prints which test it leaves out.
    ///
    /// For a test that only one backend has; [`on_every_backend!`](crate::on_every_backend) asks by itself.
    ///
    /// # Panics
    /// When the variable holds a name that no backend has: a slip in it must not leave all of them out.
    #[must_use]
    pub fn is_wanted(self) -> bool {
        let list = env::var(VARIABLE).unwrap_or_default();
        if names(&list).contains(&self) {
            return true;
        }
        // Not `eprintln!`: the test harness keeps what that prints to itself when the test passes.
        let current = thread::current();
        let _ =
            writeln!(io::stderr(), "left out by {VARIABLE}={list}: {}", current.name().unwrap_or("a test"));
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
            known(name).unwrap_or_else(|| panic!("{VARIABLE} names {name:?}; known are: sqlite, postgres"))
        })
        .collect()
}

/// Makes tests that run on every backend that is compiled in.
///
/// Each function becomes a module of its name with the tests `sqlite` and `postgres`, which `cargo test` lists as
/// `a_sentence::sqlite` and so on. The function gets an empty [`TestDatabase`](crate::testing::TestDatabase), and a
/// tokio runtime of several threads. `#[ignore]` and `#[should_panic]` go to the tests, other attributes to the
/// module.
///
/// ```
/// use onerow::{prelude::*, testing::TestDatabase};
///
/// onerow::on_every_backend! {
///     /// Zero rows are rows too.
///     async fn an_empty_update_changes_nothing(db: TestDatabase) {
///         db.execute_unprepared("CREATE TABLE members (email TEXT)").await.unwrap();
///         let done = db.execute_unprepared("UPDATE members SET email = ''").await.unwrap();
///         assert_eq!(done.rows_affected(), 0);
///     }
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! on_every_backend {
    ($(
        $(#[$($attribute:tt)*])*
        async fn $name:ident($db:ident: $database:ty) $body:block
    )*) => {
        $($crate::__specification! { [] [] $(#[$($attribute)*])* async fn $name($db: $database) $body })*
    };
}

/// One function of [`on_every_backend!`](crate::on_every_backend): sorts its attributes into those of the tests and
/// those of the module, then writes both.
#[doc(hidden)]
#[macro_export]
macro_rules! __specification {
    ([$($test:tt)*] [$($module:tt)*] #[ignore $($rest:tt)*] $($more:tt)*) => {
        $crate::__specification! { [$($test)* #[ignore $($rest)*]] [$($module)*] $($more)* }
    };
    ([$($test:tt)*] [$($module:tt)*] #[should_panic $($rest:tt)*] $($more:tt)*) => {
        $crate::__specification! { [$($test)* #[should_panic $($rest)*]] [$($module)*] $($more)* }
    };
    ([$($test:tt)*] [$($module:tt)*] #[$($attribute:tt)*] $($more:tt)*) => {
        $crate::__specification! { [$($test)*] [$($module)* #[$($attribute)*]] $($more)* }
    };
    ([$($test:tt)*] [$($module:tt)*] async fn $name:ident($db:ident: $database:ty) $body:block) => {
        $($module)*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            #[allow(dead_code)]
            async fn specification($db: $database) $body

            $crate::__with_sqlite! {
                $($test)*
                #[test]
                fn sqlite() {
                    use $crate::testing::{Backend, TestDatabase, run};
                    run(Backend::Sqlite, TestDatabase::sqlite, specification);
                }
            }
            $crate::__with_postgres! {
                $($test)*
                #[test]
                fn postgres() {
                    use $crate::testing::{Backend, TestDatabase, run};
                    run(Backend::Postgres, TestDatabase::postgres, specification);
                }
            }
        }
    };
}

// A `#[cfg(feature = "…")]` in an expansion would ask for a feature of the caller's crate. These ask for onerow's.

/// Keeps what it is given where onerow has the feature `sqlite`, and drops it elsewhere.
#[cfg(feature = "sqlite")]
#[doc(hidden)]
#[macro_export]
macro_rules! __with_sqlite {
    ($($item:tt)*) => { $($item)* };
}

/// Keeps what it is given where onerow has the feature `sqlite`, and drops it elsewhere.
#[cfg(not(feature = "sqlite"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __with_sqlite {
    ($($item:tt)*) => {};
}

/// Keeps what it is given where onerow has the feature `postgres`, and drops it elsewhere.
#[cfg(feature = "postgres")]
#[doc(hidden)]
#[macro_export]
macro_rules! __with_postgres {
    ($($item:tt)*) => { $($item)* };
}

/// Keeps what it is given where onerow has the feature `postgres`, and drops it elsewhere.
#[cfg(not(feature = "postgres"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __with_postgres {
    ($($item:tt)*) => {};
}

/// Runs a specification on a database of a backend, unless that is left out.
///
/// # Panics
/// When the specification does.
pub fn run<M, S>(backend: Backend, make: impl FnOnce() -> M, specification: impl FnOnce(TestDatabase) -> S)
where
    M: Future<Output = TestDatabase>,
    S: Future<Output = ()>,
{
    if !backend.is_wanted() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.unwrap_or_else(|error| panic!("cannot start a tokio runtime: {error}"));
    runtime.block_on(async { specification(make().await).await });
}

#[cfg(test)]
mod tests {
    use super::*;

    on_every_backend! {
        /// Each attribute has to find its place.
        #[expect(unused_must_use)]
        #[should_panic(expected = "as it should")]
        async fn a_failing_specification_fails_its_tests(db: TestDatabase) {
            db.url();
            panic!("as it should");
        }
    }

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
