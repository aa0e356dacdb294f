//! One specification, run on every backend.

use super::{Backend, TestDatabase};

/// Makes tests that run on every backend that is compiled in.
///
/// Each function becomes a module of its name with the tests `sqlite` and `postgres`; `cargo test`
/// lists them as `a_sentence::sqlite` and so on. The function takes a [`Backend`](crate::Backend),
/// which makes databases at the version that the test starts from, or an empty
/// [`TestDatabase`](crate::TestDatabase). It runs on a tokio runtime of several threads.
/// `#[ignore]` and `#[should_panic]` go to the tests, other attributes to the module.
///
/// ```
/// use onerow_testing::{Backend, TestDatabase};
///
/// onerow_testing::on_every_backend! {
///     async fn an_empty_update_changes_nothing(db: TestDatabase) {
///         db.sql("CREATE TABLE members (email TEXT)").await;
///         assert_eq!(db.sql("UPDATE members SET email = ''").await, 0);
///     }
///
///     /// Each database is another one.
///     async fn two_databases_do_not_see_each_other(backend: Backend) {
///         let (one, other) = (backend.empty_database().await, backend.empty_database().await);
///         one.sql("CREATE TABLE members (email TEXT)").await;
///         other.sql("CREATE TABLE members (email TEXT)").await;
///     }
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// #     an_empty_update_changes_nothing::specification(Backend::Sqlite.empty_database().await).await;
/// #     two_databases_do_not_see_each_other::specification(Backend::Sqlite).await;
/// # }
/// ```
#[macro_export]
macro_rules! on_every_backend {
    ($(
        $(#[$($attribute:tt)*])*
        async fn $name:ident($db:ident: $database:ty $(,)?) $body:block
    )*) => {
        $($crate::__specification! {
            [] [] $(#[$($attribute)*])* async fn $name($db: $database) $body
        })*
    };
}

/// One function of [`on_every_backend!`](crate::on_every_backend): sorts its attributes into those
/// of the tests and those of the module, then writes both.
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
            pub(super) async fn specification($db: $database) $body

            $crate::__with_sqlite! {
                $($test)*
                #[test]
                fn sqlite() {
                    $crate::run($crate::Backend::Sqlite, specification);
                }
            }
            $crate::__with_postgres! {
                $($test)*
                #[test]
                fn postgres() {
                    $crate::run($crate::Backend::Postgres, specification);
                }
            }
        }
    };
}

// A `#[cfg(feature = "…")]` in the expansion would ask for a feature of the caller's crate. These
// macros ask for a feature of this one.

/// Keeps its argument if this crate has the feature `sqlite`, and drops it otherwise.
#[cfg(feature = "sqlite")]
#[doc(hidden)]
#[macro_export]
macro_rules! __with_sqlite {
    ($($item:tt)*) => { $($item)* };
}

/// Keeps its argument if this crate has the feature `sqlite`, and drops it otherwise.
#[cfg(not(feature = "sqlite"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __with_sqlite {
    ($($item:tt)*) => {};
}

/// Keeps its argument if this crate has the feature `postgres`, and drops it otherwise.
#[cfg(feature = "postgres")]
#[doc(hidden)]
#[macro_export]
macro_rules! __with_postgres {
    ($($item:tt)*) => { $($item)* };
}

/// Keeps its argument if this crate has the feature `postgres`, and drops it otherwise.
#[cfg(not(feature = "postgres"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __with_postgres {
    ($($item:tt)*) => {};
}

/// The argument of a specification.
pub trait Fixture: Sized {
    /// Makes it.
    fn on(backend: Backend) -> impl Future<Output = Self>;
}

impl Fixture for Backend {
    async fn on(backend: Backend) -> Self {
        backend
    }
}

impl Fixture for TestDatabase {
    async fn on(backend: Backend) -> Self {
        backend.empty_database().await
    }
}

/// Runs a specification on a backend, unless that backend is left out.
///
/// # Panics
/// If the specification does.
pub fn run<F: Fixture, S: Future<Output = ()>>(
    backend: Backend,
    specification: impl FnOnce(F) -> S,
) {
    if !backend.is_wanted() {
        return;
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.unwrap_or_else(|error| panic!("cannot start a tokio runtime: {error}"));
    runtime.block_on(async { specification(F::on(backend).await).await });
}

#[cfg(test)]
mod tests {
    use super::*;

    on_every_backend! {
        /// Each attribute has to end up in its place.
        #[expect(unused_must_use)]
        #[should_panic(expected = "as it should")]
        async fn a_failing_specification_fails_its_tests(db: TestDatabase) {
            db.url();
            panic!("as it should");
        }
    }
}
