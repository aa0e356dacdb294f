use sea_orm_migration::{prelude::*, schema::*};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let members = Table::create()
            .table("members")
            .col(integer("id").primary_key())
            .col(string_len_uniq("email", 320))
            .col(integer("points").default(0))
            .check(Check::named("members_points_check", Expr::col("points").gte(0)))
            .take();
        manager.create_table(members).await?;

        let rows = Query::insert()
            .into_table("members")
            .columns(["id", "email"])
            .values_panic([1.into(), "Ada@Example.org".into()])
            .values_panic([2.into(), "grace@example.org".into()])
            .take();
        manager.execute(rows).await
    }
}
