//! Making an index. On SQLite it is a plain one.

use async_trait::async_trait;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr};

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
        pool.execute_unprepared(&create).await.map(drop)
    }
}
