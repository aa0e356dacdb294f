use sea_orm_migration::{prelude::*, schema::*};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let tags = Table::create().table("tags").col(string_len("name", 30).primary_key()).take();
        manager.create_table(tags).await?;
        manager.create_table(post_tags()).await?;

        let tag = Query::insert()
            .into_table("tags")
            .columns(["name"])
            .values_panic(["engines".into()])
            .take();
        manager.execute(tag).await?;
        let tagged = Query::insert()
            .into_table("post_tags")
            .columns(["post_id", "tag"])
            .values_panic([1.into(), "engines".into()])
            .take();
        manager.execute(tagged).await
    }
}

fn post_tags() -> TableCreateStatement {
    let mut post = ForeignKey::create()
        .name("post_tags_post_id_fkey")
        .from("post_tags", "post_id")
        .to("posts", "id")
        .on_delete(ForeignKeyAction::Cascade)
        .take();
    let mut tag = ForeignKey::create()
        .name("post_tags_tag_fkey")
        .from("post_tags", "tag")
        .to("tags", "name")
        .on_update(ForeignKeyAction::Cascade)
        .take();
    Table::create()
        .table("post_tags")
        .col(integer("post_id"))
        .col(string_len("tag", 30))
        .primary_key(Index::create().col("post_id").col("tag"))
        .foreign_key(&mut post)
        .foreign_key(&mut tag)
        .take()
}
