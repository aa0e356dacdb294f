//! The table that each tool keeps for itself.

use adopt_tests::{
    MIGRATIONS, Tool,
    tools::quart_db::{self, VERSIONS},
};
use onerow_testing::{Backend, on_every_backend};

use crate::support::{bookkeeping, expected, migrated};

on_every_backend! {
    async fn diesel_keeps_the_digits_that_a_folder_begins_with(backend: Backend) {
        is_in_the_repository(backend, Tool::Diesel, "diesel", &["run_on"]).await;
    }

    async fn refinery_keeps_a_number_a_name_and_a_checksum_of_both_and_the_sql(backend: Backend) {
        is_in_the_repository(backend, Tool::Refinery, "refinery", &["applied_on"]).await;
    }

    async fn sea_orm_keeps_the_name_of_a_module(backend: Backend) {
        is_in_the_repository(backend, Tool::SeaOrm, "sea_orm", &["applied_at"]).await;
    }

    async fn sqlx_keeps_a_number_a_description_and_a_checksum_of_the_sql(backend: Backend) {
        is_in_the_repository(backend, Tool::Sqlx, "sqlx", &["installed_on", "execution_time"])
            .await;
    }

    async fn quart_db_keeps_one_row(backend: Backend) {
        if quart_db::is_wanted() {
            for version in VERSIONS {
                is_in_the_repository(
                    backend,
                    Tool::QuartDb(version),
                    &format!("quart_db_{version}"),
                    &[],
                )
                .await;
            }
        }
    }
}

async fn is_in_the_repository(backend: Backend, tool: Tool, name: &str, measured: &[&str]) {
    let db = migrated(backend, tool, MIGRATIONS).await;
    expected(name, backend).assert_eq(&bookkeeping(&db, tool, measured).await);
}
