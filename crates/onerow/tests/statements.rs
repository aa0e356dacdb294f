//! The cost of a run in statements, as the driver reports them. It is a process of its own, because
//! the count is global.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use onerow::prelude::*;
use onerow_testing::{Backend, TestDatabase, on_every_backend};
use tracing::{Event, Metadata, Subscriber, span};

static STATEMENTS: AtomicUsize = AtomicUsize::new(0);

/// One test counts at a time.
static COUNTING: Mutex<()> = Mutex::new(());

/// sqlx sends an event with this target for each statement.
struct Count;

impl Subscriber for Count {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "sqlx::query"
    }

    fn event(&self, _: &Event<'_>) {
        STATEMENTS.fetch_add(1, Ordering::SeqCst);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

struct Table(usize);

#[async_trait]
impl MigrationTrait for Table {
    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        db.execute_unprepared(&format!("CREATE TABLE t{} (id INTEGER)", self.0)).await.map(drop)
    }
}

fn tables(count: usize) -> Registry {
    Registry::new(
        (0..count).map(|number| Box::new(Table(number)) as Box<dyn MigrationTrait>).collect(),
    )
}

/// How many statements a run sends, and how many migrations it applies.
async fn statements(registry: &Registry, db: &Database) -> (usize, usize) {
    // The caller holds `COUNTING`, so no other test counts meanwhile.
    let before = STATEMENTS.load(Ordering::SeqCst);
    let applied = registry.up(db).await.unwrap().applied.len();
    (STATEMENTS.load(Ordering::SeqCst) - before, applied)
}

on_every_backend! {
    #[allow(clippy::await_holding_lock)]
    async fn with_nothing_to_do_a_run_sends_one_statement_whether_of_three_migrations_or_a_thousand(
        db: TestDatabase,
    ) {
        let _alone = COUNTING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let _ = tracing::subscriber::set_global_default(Count);

        let (sent, applied) = statements(&tables(3), &db).await;
        assert_eq!(applied, 3);
        assert!(sent > 3, "the count does not count");
        assert_eq!(statements(&tables(3), &db).await, (1, 0));

        assert_eq!(statements(&tables(1000), &db).await.1, 997);
        assert_eq!(statements(&tables(1000), &db).await, (1, 0));
    }
}

/// Each statement that the driver reports is one message, and on PostgreSQL one round trip.
#[tokio::test]
#[allow(clippy::await_holding_lock)]
async fn on_postgresql_a_migration_takes_one_message_besides_its_own() {
    if !Backend::Postgres.is_wanted() {
        return;
    }
    let _alone = COUNTING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let _ = tracing::subscriber::set_global_default(Count);

    let (ten, thirty) =
        (Backend::Postgres.empty_database().await, Backend::Postgres.empty_database().await);
    let (sent, applied) = statements(&tables(10), &ten).await;
    assert_eq!(applied, 10);
    assert!(sent >= 20, "the count does not count");
    let (more, applied) = statements(&tables(30), &thirty).await;
    assert_eq!(applied, 30);
    assert_eq!(more - sent, 2 * 20);
}
