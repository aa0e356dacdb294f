use sea_orm_migration::{prelude::*, schema::*};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(posts()).await?;
        manager.create_index(one_title_once()).await?;
        manager.create_index(published()).await?;

        let rows = Query::insert()
            .into_table("posts")
            .columns(["id", "member_id", "title", "published"])
            .values_panic([1.into(), 1.into(), "Notes".into(), true.into()])
            .take();
        manager.execute(rows).await
    }
}

fn posts() -> TableCreateStatement {
    let mut member = ForeignKey::create()
        .name("posts_member_id_fkey")
        .from("posts", "member_id")
        .to("members", "id")
        .on_delete(ForeignKeyAction::Cascade)
        .take();
    Table::create()
        .table("posts")
        .col(integer("id").primary_key())
        .col(integer("member_id"))
        .col(string_len("title", 200))
        .col(boolean("published").default(false))
        .foreign_key(&mut member)
        .take()
}

fn one_title_once() -> IndexCreateStatement {
    Index::create()
        .name("posts_member_id_title_idx")
        .table("posts")
        .col("member_id")
        .col("title")
        .unique()
        .take()
}

fn published() -> IndexCreateStatement {
    Index::create()
        .name("posts_published_idx")
        .table("posts")
        .col("member_id")
        .and_where(Expr::col("published"))
        .take()
}
