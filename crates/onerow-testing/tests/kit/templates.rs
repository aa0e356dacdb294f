//! The migrated schema is built once and copied. A copy is never of another build.

use std::collections::BTreeSet;

use onerow::{SqlMigration, prelude::*};
use onerow_testing::{Backend, on_every_backend};

use crate::programs::Program;

/// A migration that makes a table of this name: two registries of this one type differ.
struct Makes(&'static str);

#[async_trait]
impl MigrationTrait for Makes {
    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        db.execute_unprepared(&format!("CREATE TABLE {} (id INTEGER)", self.0)).await.map(drop)
    }
}

on_every_backend! {
    async fn migrations_run_once_for_all_tests_of_a_program(backend: Backend) {
        let program = Program::copy();
        assert_eq!(program.migrations_run(backend, 2), 3);
        assert_eq!(program.migrations_run(backend, 2), 0);
    }

    async fn a_program_that_was_built_anew_meets_no_template_of_before(backend: Backend) {
        let program = Program::copy();
        program.migrations_run(backend, 2);
        program.rebuild();
        assert_eq!(program.migrations_run(backend, 2), 3);
    }

    async fn a_program_does_not_meet_the_templates_of_another(backend: Backend) {
        let (one, other) = (Program::copy(), Program::copy());
        one.migrations_run(backend, 2);
        assert_eq!(other.migrations_run(backend, 2), 3);
    }

    async fn a_template_is_built_from_that_of_the_version_before(backend: Backend) {
        let program = Program::copy();
        assert_eq!(program.migrations_run(backend, 0), 1);
        assert_eq!(program.migrations_run(backend, 2), 2);
        assert_eq!(program.migrations_run(backend, 1), 1);
        assert_eq!(program.migrations_run(backend, 1), 0);
    }

    async fn eight_processes_that_need_it_at_once_build_it_once(backend: Backend) {
        let program = Program::copy();
        let mut processes: Vec<_> = (0..8).map(|_| program.start(backend, 2)).collect();
        let runs: u32 = processes.iter_mut().map(|process| process.answer().0).sum();
        assert_eq!(runs, 3);
        for process in processes {
            process.end();
        }
    }

    /// The builder's lock is the kernel's or the server's, and its unfinished database is nobody's
    /// template.
    async fn a_builder_that_is_killed_leaves_the_next_one_to_build(backend: Backend) {
        let program = Program::copy();
        for _ in 0..3 {
            let process = program.start(backend, 2);
            std::thread::sleep(std::time::Duration::from_millis(fastrand::u64(20..200)));
            process.kill();
        }
        let db = program.start(backend, 2);
        let mut db = db;
        let (_, url) = db.answer();
        let pool = Database::connect(url).await.unwrap();
        assert!(pool.schema().has_table("t2").await.unwrap());
        pool.disconnect().await.unwrap();
        db.end();
    }

    async fn migrations_of_one_type_with_other_fields_are_told_apart(backend: Backend) {
        for name in ["one", "other"] {
            let db = backend.database(Registry::new(vec![Box::new(Makes(name))])).await;
            assert!(db.schema().has_table(name).await.unwrap());
        }
    }

    async fn migrations_of_other_tools_run_once_too_and_are_told_apart(backend: Backend) {
        let registries: [fn() -> Registry; 4] = [
            || script("CREATE TABLE luck AS SELECT random() AS number"),
            || {
                script(
                    "CREATE TABLE luck AS SELECT random() AS number; \
                     CREATE TABLE other (id INTEGER)",
                )
            },
            Registry::from_migrator::<former::Once>,
            Registry::from_migrator::<former::Other>,
        ];
        let mut numbers = BTreeSet::new();
        for registry in registries {
            let (one, again) =
                (backend.database(registry()).await, backend.database(registry()).await);
            let number = one.rows("SELECT number FROM luck").await;
            assert_eq!(number, again.rows("SELECT number FROM luck").await);
            numbers.insert(number);
        }
        assert_eq!(numbers.len(), 4);
    }

    #[should_panic(expected = "migration m0000 failed and was rolled back; \
            the database is at version -1\n  caused by: ")]
    async fn a_migration_that_fails_fails_the_test_with_its_name(backend: Backend) {
        backend.database(Registry::new(vec![Box::new(Makes("one, two"))])).await;
    }

    #[should_panic(expected = "the registry has no migration 1: its last is 0")]
    async fn a_version_that_the_registry_does_not_have_is_refused(backend: Backend) {
        backend.database_before(Registry::new(vec![Box::new(Makes("one"))]), 1).await;
    }
}

fn script(sql: &'static str) -> Registry {
    Registry::new(vec![Box::new(SqlMigration::new("1_luck", "luck", sql, Mode::Transaction))])
}

/// Two migrators of sea-orm-migration whose migrations have the same names.
mod former {
    use sea_orm_migration::{MigrationTrait, MigratorTrait, prelude::*};

    struct Luck(&'static str);

    impl MigrationName for Luck {
        fn name(&self) -> &str {
            "m20240101_000001_luck"
        }
    }

    #[async_trait::async_trait]
    impl MigrationTrait for Luck {
        async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
            let sql = format!("CREATE TABLE luck AS SELECT random() AS number{}", self.0);
            manager.get_connection().execute_unprepared(&sql).await.map(drop)
        }
    }

    pub struct Once;

    impl MigratorTrait for Once {
        fn migrations() -> Vec<Box<dyn MigrationTrait>> {
            vec![Box::new(Luck(""))]
        }
    }

    pub struct Other;

    impl MigratorTrait for Other {
        fn migrations() -> Vec<Box<dyn MigrationTrait>> {
            vec![Box::new(Luck(", 1 AS other"))]
        }
    }
}
