//! Making an index. On SQLite it is a plain one.

use async_trait::async_trait;
use sea_orm::{ConnectionTrait, DatabaseBackend, DatabaseConnection, DbErr, Statement};

use super::Sqlite;
use crate::backend::index::{CreateIndex, Index};

#[async_trait]
impl CreateIndex for Sqlite {
    async fn create_index(
        &self,
        pool: &DatabaseConnection,
        index: &Index<'_>,
    ) -> Result<(), DbErr> {
        let (name, table, definition) = (index.name, index.table, index.definition(false));
        let create =
            format!("CREATE {} IF NOT EXISTS {name} ON {table} {definition}", index.kind());
        pool.execute_unprepared(&create).await?;
        let of_index = "SELECT \"unique\" FROM pragma_index_list(?) WHERE name = ? COLLATE NOCASE";
        let values = [bare(table).into(), bare(name).into()];
        let look = Statement::from_sql_and_values(DatabaseBackend::Sqlite, of_index, values);
        match pool.query_one_raw(look).await? {
            Some(found) => index.check(found.try_get_by_index(0)?),
            // It is of a table in another file.
            None => Ok(()),
        }
    }
}

fn bare(name: &str) -> &str {
    name.trim_matches(['"', '\'', '`', '[', ']'])
}
