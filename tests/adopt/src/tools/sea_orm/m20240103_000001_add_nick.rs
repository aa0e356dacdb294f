use sea_orm_migration::{prelude::*, schema::*};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let members =
            Table::alter().table("members").add_column(string_len_null("nick", 40)).take();
        manager.alter_table(members).await?;

        let lower =
            Query::update().table("members").value("email", Func::lower(Expr::col("email"))).take();
        manager.execute(lower).await?;

        let nick = Index::create()
            .name("members_nick_idx")
            .table("members")
            .col("nick")
            .unique()
            .and_where(Expr::col("nick").is_not_null())
            .take();
        manager.create_index(nick).await
    }
}
