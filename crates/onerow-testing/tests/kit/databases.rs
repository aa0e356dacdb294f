//! A test's own database, from its making to its end.

use std::{fs, path::Path};

use onerow::{ErrorKind, prelude::*};
use onerow_testing::{Backend, TestDatabase, on_every_backend};

use crate::programs::Program;

/// Whether the database at this URL exists.
async fn exists(url: &str) -> bool {
    // Looking must not create it.
    match Database::connect(url.replace("mode=rwc", "mode=rw")).await {
        Ok(found) => {
            found.disconnect().await.unwrap();
            true
        }
        Err(error) if error.kind() == ErrorKind::NoSuchDatabase => false,
        Err(error) => panic!("{}", error.explain()),
    }
}

on_every_backend! {
    async fn the_version_is_left_out_of_the_schema(db: TestDatabase) {
        Registry::new(vec![]).up(&db).await.unwrap();
        db.sql("CREATE TABLE IF NOT EXISTS schema_migration (version INTEGER)").await;
        assert_eq!(db.read_schema().await.to_string(), "");
    }

    async fn debug_tells_the_database_without_its_password(db: TestDatabase) {
        let told = format!("{db:?}");
        let name = db.url().rsplit('/').next().unwrap().split('?').next().unwrap();
        assert!(told.contains(name), "{told}");
        let password = db.url().split_once('@').and_then(|(before, _)| before.rsplit(':').next());
        assert!(!password.is_some_and(|password| told.contains(password)), "{told}");
    }

    async fn a_database_is_gone_when_its_test_ends(db: TestDatabase) {
        let url = db.url().to_owned();
        db.sql("CREATE TABLE members (id INTEGER)").await;
        drop(db);
        assert!(!exists(&url).await);
    }

    async fn a_database_is_gone_when_its_test_panics(backend: Backend) {
        let (sender, receiver) = std::sync::mpsc::channel();
        let test = tokio::spawn(async move {
            let db = backend.empty_database().await;
            sender.send(db.url().to_owned()).unwrap();
            panic!("as tests do");
        });
        assert!(test.await.unwrap_err().is_panic());
        assert!(!exists(&receiver.recv().unwrap()).await);
    }

    async fn a_database_is_gone_when_it_was_still_in_use(db: TestDatabase) {
        let url = db.url().to_owned();
        let other = db.connect().await;
        let unfinished = other.begin().await.unwrap();
        unfinished.execute_unprepared("CREATE TABLE members (id INTEGER)").await.unwrap();
        drop(db);
        assert!(!exists(&url).await);
    }

    async fn what_a_killed_process_left_is_removed_by_the_next(backend: Backend) {
        let program = Program::copy();
        let mut killed = program.start(backend, 0);
        let (_, url) = killed.answer();
        assert!(exists(&url).await);
        killed.kill();

        program.start(backend, 0).end();

        assert!(!exists(&url).await);
    }

    async fn what_a_living_process_uses_is_left_alone(backend: Backend) {
        let program = Program::copy();
        let mut living = program.start(backend, 0);
        let (_, url) = living.answer();

        program.start(backend, 0).end();

        assert!(exists(&url).await);
        living.end();
    }

    async fn a_second_pool_sees_what_the_first_did(db: TestDatabase) {
        db.sql("CREATE TABLE members (id INTEGER)").await;
        let other = db.connect().await;
        assert!(other.schema().has_table("members").await.unwrap());
        other.disconnect().await.unwrap();
    }

    async fn two_databases_of_one_test_are_made_at_once(backend: Backend) {
        let (one, other) = tokio::join!(backend.empty_database(), backend.empty_database());
        assert_ne!(one.url(), other.url());
    }
}

/// The runtime has one thread, which a drop blocks.
#[tokio::test]
async fn a_runtime_of_one_thread_is_enough() {
    for backend in
        [Backend::Sqlite, Backend::Postgres].into_iter().filter(|backend| backend.is_wanted())
    {
        let (one, other) = tokio::join!(
            backend.database(crate::programs::counted::registry()),
            backend.database(crate::programs::counted::registry())
        );
        drop(one);
        assert_eq!(other.rows("SELECT count(*) FROM t2").await, ["0"]);
    }
}

#[tokio::test]
async fn a_file_goes_with_its_directory() {
    let db = Backend::Sqlite.empty_database().await;
    db.sql("PRAGMA journal_mode = WAL; CREATE TABLE members (id INTEGER)").await;
    let path = db.url().trim_start_matches("sqlite://").trim_end_matches("?mode=rwc").to_owned();
    let dir = Path::new(&path).parent().unwrap();
    assert!(fs::read_dir(dir).unwrap().count() > 1);
    drop(db);
    assert!(!dir.exists());
}

#[tokio::test]
#[should_panic(expected = "take Backend::Sqlite.empty_database()")]
async fn a_database_in_memory_has_no_second_pool() {
    TestDatabase::in_memory().await.connect().await;
}
