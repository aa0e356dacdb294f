//! The time that a test pays for its own database at the latest version, from asking for it to
//! dropping it.
//!
//! `copied` is what the test kit does. `migrated` is what it saves: applying all migrations for
//! each test. If each migration `adds_a_table` with an index, a copy has more files the more
//! migrations there are. If each `changes_rows`, the schema stays the same, and so does the time of
//! a copy.
//!
//! `cargo bench -p onerow-testing --features postgres,sqlite --bench test_databases`

use std::sync::LazyLock;

use divan::Bencher;
use onerow::prelude::*;
use onerow_testing::Backend;
use tokio::runtime::Runtime;

fn main() {
    divan::main();
}

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

const COUNTS: [usize; 3] = [10, 100, 1000];

/// Migrations, each with a type of its own, as those of an app are.
trait Kind: Send + Sync + 'static {
    fn sql(number: usize) -> String;
}

struct AddsATable;

impl Kind for AddsATable {
    fn sql(number: usize) -> String {
        format!(
            "CREATE TABLE t{number} (id BIGINT PRIMARY KEY, member BIGINT, name TEXT NOT NULL);
             CREATE INDEX t{number}_by_member ON t{number} (member)"
        )
    }
}

struct ChangesRows;

impl Kind for ChangesRows {
    fn sql(number: usize) -> String {
        match number {
            0 => "CREATE TABLE log (number BIGINT PRIMARY KEY)".into(),
            _ => format!("INSERT INTO log VALUES ({number})"),
        }
    }
}

struct Step<K, const NUMBER: usize>(std::marker::PhantomData<K>);

#[async_trait]
impl<K: Kind, const NUMBER: usize> MigrationTrait for Step<K, NUMBER> {
    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        db.execute_unprepared(&K::sql(NUMBER)).await.map(drop)
    }
}

fn step<K: Kind, const NUMBER: usize>() -> Box<dyn MigrationTrait> {
    Box::new(Step::<K, NUMBER>(std::marker::PhantomData))
}

macro_rules! ten {
    ($of:ident, $from:expr) => {
        [
            step::<$of, { $from }>(),
            step::<$of, { $from + 1 }>(),
            step::<$of, { $from + 2 }>(),
            step::<$of, { $from + 3 }>(),
            step::<$of, { $from + 4 }>(),
            step::<$of, { $from + 5 }>(),
            step::<$of, { $from + 6 }>(),
            step::<$of, { $from + 7 }>(),
            step::<$of, { $from + 8 }>(),
            step::<$of, { $from + 9 }>(),
        ]
    };
}

macro_rules! hundred {
    ($of:ident, $from:expr) => {
        [
            ten!($of, $from),
            ten!($of, $from + 10),
            ten!($of, $from + 20),
            ten!($of, $from + 30),
            ten!($of, $from + 40),
            ten!($of, $from + 50),
            ten!($of, $from + 60),
            ten!($of, $from + 70),
            ten!($of, $from + 80),
            ten!($of, $from + 90),
        ]
    };
}

macro_rules! thousand {
    ($of:ident) => {
        [
            hundred!($of, 0),
            hundred!($of, 100),
            hundred!($of, 200),
            hundred!($of, 300),
            hundred!($of, 400),
            hundred!($of, 500),
            hundred!($of, 600),
            hundred!($of, 700),
            hundred!($of, 800),
            hundred!($of, 900),
        ]
    };
}

fn adds_a_table(count: usize) -> Registry {
    Registry::new(thousand!(AddsATable).into_iter().flatten().flatten().take(count).collect())
}

fn changes_rows(count: usize) -> Registry {
    Registry::new(thousand!(ChangesRows).into_iter().flatten().flatten().take(count).collect())
}

fn copied(bencher: Bencher, backend: Backend, registry: fn(usize) -> Registry, count: usize) {
    // The template is built before the clock starts.
    drop(RUNTIME.block_on(backend.database(registry(count))));
    bencher.bench_local(|| drop(RUNTIME.block_on(backend.database(registry(count)))));
}

fn migrated(bencher: Bencher, backend: Backend, registry: fn(usize) -> Registry, count: usize) {
    bencher.bench_local(|| {
        RUNTIME.block_on(async {
            let db = backend.empty_database().await;
            registry(count).up(&db).await.unwrap();
        });
    });
}

macro_rules! benchmarks {
    ($($backend:ident: $name:ident)*) => {$(
        mod $name {
            mod adds_a_table {
                benchmarks! { $backend, crate::adds_a_table }
            }
            mod changes_rows {
                benchmarks! { $backend, crate::changes_rows }
            }
        }
    )*};
    ($backend:ident, $registry:path) => {
        #[divan::bench(args = crate::COUNTS, sample_count = 20, sample_size = 1, max_time = 10)]
        fn copied(bencher: divan::Bencher, count: usize) {
            crate::copied(bencher, onerow_testing::Backend::$backend, $registry, count);
        }

        #[divan::bench(args = crate::COUNTS, sample_count = 20, sample_size = 1, max_time = 10)]
        fn migrated(bencher: divan::Bencher, count: usize) {
            crate::migrated(bencher, onerow_testing::Backend::$backend, $registry, count);
        }
    };
}

benchmarks! { Postgres: postgres Sqlite: sqlite }
