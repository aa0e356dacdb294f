//! Looking without touching.

use onerow::ErrorKind;
use onerow_testing::{TestDatabase, on_every_backend};

use crate::support::{has_table, logged, version};

on_every_backend! {
    async fn the_status_of_an_empty_database_creates_nothing(db: TestDatabase) {
        let status = logged(2).status(&db).await.unwrap();
        assert_eq!((status.version, status.latest, status.is_pending()), (-1, 1, true));
        assert!(!has_table(&db, "schema_migration").await);
    }

    async fn the_status_lists_each_migration(db: TestDatabase) {
        logged(3).up(&db).to(1).await.unwrap();
        let status = logged(3).status(&db).await.unwrap();
        let list: Vec<_> = status.migrations.iter().map(|one| (one.name(), one.applied)).collect();
        assert_eq!(list, [("m0000".into(), true), ("m0001".into(), true), ("m0002".into(), false)]);
        assert_eq!(status.migrations[1].description, "CREATE TABLE t1 (id INTEGER PRIMARY KEY)");
    }

    async fn the_status_says_when_the_database_is_ahead(db: TestDatabase) {
        logged(3).up(&db).await.unwrap();
        let status = logged(1).status(&db).await.unwrap();
        assert!(status.is_ahead() && !status.is_pending());
        assert_eq!(status.version, 2);
    }

    async fn a_target_beyond_the_last_or_below_the_current_changes_nothing(db: TestDatabase) {
        let registry = logged(3);
        let error = registry.up(&db).to(3).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TargetBeyondLatest, "{error:?}");
        let told = "there is no migration 3: this build has 0 to 2; nothing was changed";
        assert_eq!(error.to_string(), told);
        assert!(!has_table(&db, "schema_migration").await);

        registry.up(&db).to(1).await.unwrap();
        let error = registry.up(&db).to(0).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TargetBelowVersion, "{error:?}");
        assert_eq!(error.version(), Some(1), "{error:?}");
        assert!(error.to_string().contains("is at version 1 and cannot go back to 0"), "{error}");
        assert_eq!(version(&*db).await, 1);
    }
}
