//! All or nothing.

use std::sync::{Arc, Mutex};

use onerow::{Error, Failure, prelude::*};
use onerow_cli::next_step;
use onerow_testing::{TestDatabase, on_every_backend};

use crate::support::{Sql, assert_failed, has_table, number, registry, version};

/// Version 0: a table with two rows.
fn base() -> Sql {
    Sql::new([
        "CREATE TABLE items (id INTEGER PRIMARY KEY, task TEXT)",
        "INSERT INTO items VALUES (1, 'a'), (2, 'b')",
    ])
}

/// Changes schema and data.
fn change() -> Sql {
    Sql::new([
        "CREATE TABLE more (id INTEGER)",
        "ALTER TABLE items ADD COLUMN due TEXT",
        "UPDATE items SET task = 'changed'",
        "DELETE FROM items WHERE id = 2",
    ])
}

/// Checks that the database is at version 0, as [`base`] left it.
async fn is_untouched(db: &TestDatabase) {
    assert_eq!(version(&**db).await, 0);
    assert!(!has_table(db, "more").await);
    assert!(!db.schema().has_column("items", "due").await.unwrap());
    assert_eq!(number(&**db, "SELECT count(*) FROM items WHERE task IN ('a', 'b')").await, 2);
}

async fn a_corrected_run_finishes(db: &TestDatabase) {
    let report = registry([base(), change()]).up(db).await.unwrap();
    assert_eq!((report.initial, report.version), (0, 1));
    assert_eq!(
        number(&**db, "SELECT count(*) FROM items WHERE task = 'changed' AND due IS NULL").await,
        1
    );
}

async fn fails(db: &TestDatabase, second: Sql) -> Error {
    let error = registry([base(), second]).up(db).await.unwrap_err();
    let text = error.to_string();
    assert_eq!(text, "migration m0001 failed and was rolled back; the database is at version 0");
    assert_failed(&error, 1, 0);
    error
}

on_every_backend! {
    async fn a_migration_that_fails_half_way_leaves_nothing(db: TestDatabase) {
        let mut broken = change();
        broken.migrate.push("INSERT INTO nowhere VALUES (1)".into());
        assert!(matches!(fails(&db, broken).await.failure(), Some(Failure::Migrate(_))));
        is_untouched(&db).await;
        a_corrected_run_finishes(&db).await;
    }

    async fn a_migration_whose_validation_fails_leaves_nothing(db: TestDatabase) {
        let error = fails(&db, change().validate("SELECT nothing FROM items")).await;
        assert!(matches!(error.failure(), Some(Failure::Validate(_))), "{error:?}");
        is_untouched(&db).await;
        a_corrected_run_finishes(&db).await;
    }

    async fn a_migration_that_panics_leaves_nothing(db: TestDatabase) {
        let error = fails(&db, change().panics()).await;
        let Some(Failure::Panicked(message)) = error.failure() else { panic!("{error:?}") };
        assert_eq!(message, "on purpose");
        is_untouched(&db).await;
        a_corrected_run_finishes(&db).await;
    }

    async fn a_validation_sees_what_the_migration_did(db: TestDatabase) {
        let second = change().validate("UPDATE items SET due = 'seen' WHERE task = 'changed'");
        registry([base(), second]).up(&db).await.unwrap();
        assert_eq!(number(&*db, "SELECT count(*) FROM items WHERE due = 'seen'").await, 1);
    }

    async fn what_came_before_a_failure_stays(db: TestDatabase) {
        let migrations =
            [base(), change(), Sql::new(["CREATE TABLE third (id INTEGER)", "SELECT nothing"])];
        let mut steps = Vec::new();
        let steps_seen = std::sync::Mutex::new(&mut steps);
        let registry = registry(migrations);
        let error = registry
            .up(&db)
            .on_progress(|step| {
                if let onerow::Progress::Applied(applied) = step {
                    steps_seen.lock().unwrap().push(applied.version);
                }
            })
            .await
            .unwrap_err();
        assert_failed(&error, 2, 1);
        assert_eq!(steps, [0, 1]);
        assert_eq!(version(&*db).await, 1);
        assert!(has_table(&db, "more").await);
        assert!(!has_table(&db, "third").await);
    }

    async fn a_migration_that_commits_on_its_own_is_found_out(db: TestDatabase) {
        let error = registry([base(), Sql::new(["COMMIT"])]).up(&db).await.unwrap_err();
        assert!(matches!(error.failure(), Some(Failure::EndedTransaction)), "{error:?}");
        assert!(!error.to_string().contains("rolled back"), "{error}");
        assert_eq!(version(&*db).await, 0);
        a_corrected_run_finishes(&db).await;
    }

    async fn what_a_migration_began_and_never_ended_is_committed_with_it(db: TestDatabase) {
        let kept = Arc::default();
        let keeps = Box::new(Keeps(Arc::clone(&kept)));
        let registry = Registry::new(vec![Box::new(base()), keeps, Box::new(change())]);
        let report = registry.up(&db).await.unwrap();
        assert_eq!((report.initial, report.version), (-1, 2));
        assert_eq!(version(&*db).await, 2);
        assert!(has_table(&db, "kept").await && has_table(&db, "more").await);
        drop(kept);
    }

    async fn an_error_says_what_happened_what_is_still_true_and_what_to_type_next(
        db: TestDatabase,
    ) {
        let second = Sql::new(["INSERT INTO items VALUES (1, 'again')"]);
        let error = registry([base(), second]).up(&db).await.unwrap_err();
        let text = error.explain().to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[0],
            "error: migration m0001 failed and was rolled back; the database is at version 0"
        );
        assert!(
            lines[1].starts_with("  caused by: ") && lines[1].to_lowercase().contains("unique"),
            "{text}"
        );
        assert_eq!(lines.len(), 2, "{text}");
        assert_eq!(next_step(&error), "to retry after fixing it: cargo run -p migration -- up");
    }

    async fn a_migration_may_use_savepoints_of_its_own(db: TestDatabase) {
        let registry = Registry::new(vec![Box::new(Nested)]);
        registry.up(&db).await.unwrap();
        assert_eq!(number(&*db, "SELECT count(*) FROM nested").await, 1);
        assert_eq!(version(&*db).await, 0);
    }
}

struct Nested;

#[async_trait]
impl MigrationTrait for Nested {
    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        db.execute_unprepared("CREATE TABLE nested (id INTEGER)").await?;
        let kept = db.begin().await?;
        kept.execute_unprepared("INSERT INTO nested VALUES (1)").await?;
        kept.commit().await?;
        let undone = db.begin().await?;
        undone.execute_unprepared("INSERT INTO nested VALUES (2)").await?;
        undone.rollback().await
    }
}

/// Begins a transaction inside its own, and never ends it.
struct Keeps(Arc<Mutex<Option<sea_orm::DatabaseTransaction>>>);

#[async_trait]
impl MigrationTrait for Keeps {
    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        let begun = db.begin().await?;
        begun.execute_unprepared("CREATE TABLE kept (id INTEGER)").await?;
        *self.0.lock().unwrap() = Some(begun);
        Ok(())
    }
}
