//! onerow continues where a tool stopped, and comes to the same result as the tool.

use std::time::Duration;

use adopt_tests::{MIGRATIONS, Tool, registry, schema};
use onerow::{AdoptionWarning, ErrorKind, HistoryProblem, Registry};
use onerow_testing::{Backend, TestDatabase, on_every_backend};
use tokio::time::sleep;

use crate::support::{contents, migrated};

on_every_backend! {
    async fn what_a_tool_began_onerow_ends_with_the_schema_and_rows_of_the_tool_alone(
        backend: Backend,
    ) {
        for tool in Tool::wanted() {
            let alone = migrated(backend, tool, MIGRATIONS).await;
            for count in [1, 3, MIGRATIONS] {
                let db = migrated(backend, tool, count).await;
                let history = history(&db, tool).await;

                taken_over(&db, tool, count).await;

                schema(&alone).await.assert_same_as(&schema(&db).await);
                assert_eq!(contents(&alone).await, contents(&db).await, "{tool:?} up to {count}");
                if !is_in_place(tool) {
                    assert_eq!(self::history(&db, tool).await, history, "{tool:?}");
                }
            }
        }
    }

    async fn a_new_database_comes_to_the_same_without_the_tool(backend: Backend) {
        for tool in Tool::wanted() {
            let alone = migrated(backend, tool, MIGRATIONS).await;
            let db = backend.empty_database().await;
            assert_eq!(registry(tool).up(&db).await.unwrap().applied.len(), MIGRATIONS, "{tool:?}");
            schema(&alone).await.assert_same_as(&schema(&db).await);
            assert_eq!(contents(&alone).await, contents(&db).await, "{tool:?}");
        }
    }

    async fn what_was_not_adopted_is_not_run_again(backend: Backend) {
        for tool in Tool::RUST {
            let db = migrated(backend, tool, 2).await;
            let error = registry(tool).up(&db).await.unwrap_err();
            assert_eq!(
                (error.kind(), error.version()),
                (ErrorKind::Unadopted, Some(-1)),
                "{error:?}"
            );
        }
    }

    async fn what_the_tool_has_applied_since_is_not_run_again(backend: Backend) {
        for tool in Tool::RUST {
            let db = migrated(backend, tool, 2).await;
            registry(tool).adopt(&db).await.unwrap();
            tool.migrate(db.url(), 3).await;
            let error = registry(tool).up(&db).await.unwrap_err();
            assert_eq!(
                (error.kind(), error.version()),
                (ErrorKind::Unadopted, Some(1)),
                "{error:?}"
            );
            assert_eq!(registry(tool).adopt(&db).await.unwrap().version, 2);
            assert_eq!(registry(tool).up(&db).await.unwrap().version, 4);
        }
    }

    async fn the_checksum_that_a_tool_keeps_of_a_script_is_known(backend: Backend) {
        for tool in [Tool::Sqlx, Tool::Refinery] {
            let db = migrated(backend, tool, MIGRATIONS).await;
            assert_eq!(registry(tool).adopt(&db).await.unwrap().warnings, [], "{tool:?}");
        }
        let db = migrated(backend, Tool::Refinery, MIGRATIONS).await;
        db.sql("UPDATE refinery_schema_history SET checksum = '1' WHERE version = 2").await;
        let warnings = registry(Tool::Refinery).adopt(&db).await.unwrap().warnings;
        assert!(
            matches!(&warnings[..], [AdoptionWarning::Edited { migration: 1, .. }]),
            "{warnings:?}"
        );
    }

    async fn a_gap_is_named(backend: Backend) {
        for tool in Tool::RUST {
            let db = backend.empty_database().await;
            tool.migrate_with_a_gap(db.url()).await;
            let problems = problems(registry(tool), &db).await;
            assert!(
                matches!(&problems[..], [HistoryProblem::Missing { migration: 2, .. }]),
                "{tool:?} {problems:?}"
            );
        }
    }

    async fn what_came_late_is_out_of_order(backend: Backend) {
        // Refinery does not apply that migration.
        for tool in [Tool::Diesel, Tool::SeaOrm, Tool::Sqlx] {
            let db = backend.empty_database().await;
            tool.migrate_with_a_gap(db.url()).await;
            // Most of the tools store the time in whole seconds.
            sleep(Duration::from_millis(1100)).await;
            tool.migrate(db.url(), MIGRATIONS).await;
            let problems = problems(registry(tool), &db).await;
            let [HistoryProblem::OutOfOrder { name, .. }] = &problems[..] else {
                panic!("{problems:?}")
            };
            assert!(name.contains("add_nick"), "{problems:?}");
            assert_eq!(registry(tool).adopt(&db).out_of_order().await.unwrap().version, 4);
        }
    }

    async fn what_another_project_applied_is_extra(backend: Backend) {
        for tool in Tool::RUST {
            let db = migrated(backend, tool, 2).await;
            let problems = problems(Registry::new(vec![]), &db).await;
            let name = |problem: &HistoryProblem| match problem {
                HistoryProblem::Extra { name } => name.contains("2024") || name.contains("__"),
                _ => false,
            };
            assert!(problems.len() == 2 && problems.iter().all(name), "{tool:?} {problems:?}");
        }
    }

    async fn what_sqlx_has_as_failed_is_named(backend: Backend) {
        let db = migrated(backend, Tool::Sqlx, 2).await;
        db.sql("UPDATE _sqlx_migrations SET success = FALSE WHERE version = 20240102000000").await;
        let problems = problems(registry(Tool::Sqlx), &db).await;
        assert_eq!(
            problems,
            [HistoryProblem::Failed { name: "20240102000000 create posts".into() }]
        );
    }
}

/// Looks, adopts, and applies the rest.
async fn taken_over(db: &TestDatabase, tool: Tool, count: usize) {
    let registry = registry(tool);
    let last = i32::try_from(count).unwrap() - 1;
    let initial = if is_in_place(tool) { last } else { -1 };
    let looked = registry
        .adopt(db)
        .dry_run()
        .await
        .unwrap_or_else(|error| panic!("{tool:?}: {}", error.explain()));
    assert_eq!((looked.initial, looked.version), (initial, last), "{tool:?}");
    assert_eq!(registry.adopt(db).await.unwrap(), looked);
    let report =
        registry.up(db).await.unwrap_or_else(|error| panic!("{tool:?}: {}", error.explain()));
    assert_eq!((report.initial, report.applied.len()), (last, MIGRATIONS - count), "{tool:?}");
}

/// Whether the tool's table is onerow's own.
fn is_in_place(tool: Tool) -> bool {
    matches!(tool, Tool::QuartDb(version) if version != "0.10.1")
}

/// All that the tool's own table holds.
async fn history(db: &TestDatabase, tool: Tool) -> Vec<String> {
    db.rows(&format!("SELECT * FROM {} ORDER BY 1", tool.table())).await
}

async fn problems(registry: Registry, db: &TestDatabase) -> Vec<HistoryProblem> {
    let error = registry.adopt(db).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HistoryMismatch, "{error:?}");
    error.problems().to_vec()
}
