//! Making an index concurrently, and healing an interrupted build.

use async_trait::async_trait;
use onerow_sql::quoted_literal;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr};

use super::{Postgres, rows, texts};
use crate::{
    backend::index::{CreateIndex, Index},
    driver::query_error,
};

/// Switches the lock timeout off; changes nothing if there is none.
const WITHOUT_LOCK_TIMEOUT: &str = "SELECT pg_catalog.set_config('lock_timeout', '0', false) \
    WHERE pg_catalog.current_setting('lock_timeout') OPERATOR(pg_catalog.<>) '0'";

#[async_trait]
impl CreateIndex for Postgres {
    async fn create_index(
        &self,
        pool: &DatabaseConnection,
        index: &Index<'_>,
    ) -> Result<(), DbErr> {
        let (name, table) = (index.name, index.table);
        let state = state_of(index);
        match look(pool, &state).await? {
            Some(found) if is_valid(&found) => return index.check(found == UNIQUE),
            Some(invalid) => {
                pool.execute_unprepared(&format!("DROP INDEX CONCURRENTLY {invalid}")).await?;
            }
            None => (),
        }
        // Its waits lock nobody out, and a build that is cut off leaves an invalid index.
        pool.execute_unprepared(WITHOUT_LOCK_TIMEOUT).await?;
        let definition = index.definition(true);
        let create = format!("CREATE {} CONCURRENTLY {name} ON {table} {definition}", index.kind());
        pool.execute_unprepared(&create).await?;
        match look(pool, &state).await? {
            Some(found) if is_valid(&found) => Ok(()),
            _ => Err(DbErr::Migration(format!("the index {name} is not valid after it was built"))),
        }
    }
}

/// The states of a valid index.
const UNIQUE: &str = "unique";
const PLAIN: &str = "plain";

fn is_valid(state: &str) -> bool {
    [UNIQUE, PLAIN].contains(&state)
}

/// Asks for the state of an index: [`UNIQUE`] or [`PLAIN`], or the name to drop an invalid one by.
fn state_of(index: &Index<'_>) -> String {
    // An index is in the schema of its table, whatever the search path.
    format!(
        "SELECT CASE WHEN i.indisvalid AND i.indisunique THEN '{UNIQUE}'
                 WHEN i.indisvalid THEN '{PLAIN}'
                 ELSE pg_catalog.format('%I.%I', n.nspname, c.relname) END
             FROM pg_catalog.pg_index i
             JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) i.indexrelid
             JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
             WHERE i.indrelid OPERATOR(pg_catalog.=) pg_catalog.to_regclass({})
             AND c.relname OPERATOR(pg_catalog.=) (pg_catalog.parse_ident({}))[1]::pg_catalog.name",
        quoted_literal(index.table),
        quoted_literal(index.name)
    )
}

async fn look(pool: &DatabaseConnection, state: &str) -> Result<Option<String>, DbErr> {
    let found = rows(pool, state).await?;
    let texts = found.first().map(texts).transpose().map_err(query_error)?;
    Ok(texts.and_then(|mut texts| texts.pop().flatten()))
}
