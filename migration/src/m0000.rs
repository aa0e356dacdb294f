//! Members and their to-dos.

use onerow::prelude::{schema::*, *};

pub struct Migration;

#[async_trait]
impl MigrationTrait for Migration {
    fn description(&self) -> &str {
        "members and todos"
    }

    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        create_members(db).await?;
        one_member_for_each_email(db).await?;
        create_todos(db).await?;
        index_todos_by_member(db).await
    }
}

async fn create_members(db: &Database) -> Result<(), DbErr> {
    let members = Table::create()
        .table("members")
        .col(big_pk_auto("id"))
        .col(text("email"))
        .col(text_null("password_hash"))
        .col(timestamp_with_time_zone_default_now("created"))
        .col(timestamp_with_time_zone_null("email_verified"))
        .take();
    db.schema().create_table(members).await
}

/// SQLite's `lower` folds only A to Z. PostgreSQL's follows the collation of the database, so the
/// index names "C": the same addresses are duplicates on both. (The builder has no index on an
/// expression.)
async fn one_member_for_each_email(db: &Database) -> Result<(), DbErr> {
    let email = match db.get_database_backend() {
        DatabaseBackend::Postgres => r#"email COLLATE "C""#,
        _ => "email",
    };
    db.execute_unprepared(&format!(
        "CREATE UNIQUE INDEX members_email ON members (lower({email}))"
    ))
    .await?;
    Ok(())
}

async fn create_todos(db: &Database) -> Result<(), DbErr> {
    let todos = Table::create()
        .table("todos")
        .col(big_pk_auto("id"))
        .col(big_integer("member_id"))
        .col(text("task"))
        .col(boolean("complete").default(false))
        .col(timestamp_with_time_zone_null("due"))
        .col(timestamp_with_time_zone_default_now("created"))
        .foreign_key(
            ForeignKey::create()
                .name("todos_member_id")
                .from("todos", "member_id")
                .to("members", "id")
                .on_delete(ForeignKeyAction::Cascade),
        )
        .take();
    db.schema().create_table(todos).await
}

/// Neither backend indexes a foreign key by itself. Without this index, deleting a member reads all
/// to-dos of everybody.
async fn index_todos_by_member(db: &Database) -> Result<(), DbErr> {
    let index = Index::create().name("todos_by_member").table("todos").col("member_id").take();
    db.schema().create_index(index).await
}

#[cfg(test)]
mod tests {
    use onerow::prelude::{sea_orm::SqlErr, *};
    use onerow_testing::{Backend, TestDatabase, on_every_backend};

    use crate::registry;

    /// A database at version 0, with two members who have a to-do each.
    async fn two_members_with_a_todo_each(backend: Backend) -> TestDatabase {
        let db = backend.database_at(registry(), 0).await;
        db.sql("INSERT INTO members (email) VALUES ('ada@example.org'), ('grace@example.org')")
            .await;
        db.sql("INSERT INTO todos (member_id, task) SELECT id, 'write to ' || email FROM members")
            .await;
        db
    }

    on_every_backend! {
        async fn a_new_todo_is_open_and_knows_when_it_was_created(backend: Backend) {
            let db = two_members_with_a_todo_each(backend).await;

            let dated = db
                .rows("SELECT task, complete, due FROM todos WHERE created IS NOT NULL ORDER BY id")
                .await;

            assert_eq!(
                dated,
                ["write to ada@example.org|false|NULL", "write to grace@example.org|false|NULL"]
            );
        }

        async fn an_email_in_other_letters_is_the_same_email(backend: Backend) {
            let db = two_members_with_a_todo_each(backend).await;

            let duplicate = db
                .execute_unprepared("INSERT INTO members (email) VALUES ('Ada@Example.ORG')")
                .await;

            assert!(matches!(
                duplicate.unwrap_err().sql_err(),
                Some(SqlErr::UniqueConstraintViolation(_))
            ));
        }

        /// The two backends would disagree about case beyond A to Z, so it counts on both.
        async fn letters_beyond_ascii_are_told_apart_by_case(backend: Backend) {
            let db = backend.database_at(registry(), 0).await;

            db.sql("INSERT INTO members (email) VALUES ('é@example.org'), ('É@example.org')").await;
        }

        async fn a_todo_needs_a_member(backend: Backend) {
            let db = backend.database_at(registry(), 0).await;

            let orphan = db
                .execute_unprepared(
                    "INSERT INTO todos (member_id, task) VALUES (1, 'nobody does this')",
                )
                .await;

            assert!(matches!(
                orphan.unwrap_err().sql_err(),
                Some(SqlErr::ForeignKeyConstraintViolation(_))
            ));
        }

        async fn a_member_takes_their_todos_along(backend: Backend) {
            let db = two_members_with_a_todo_each(backend).await;

            db.sql("DELETE FROM members WHERE email = 'ada@example.org'").await;

            assert_eq!(db.rows("SELECT task FROM todos").await, ["write to grace@example.org"]);
        }

        async fn ids_are_never_used_again(backend: Backend) {
            let db = two_members_with_a_todo_each(backend).await;

            db.sql("DELETE FROM todos").await;
            db.sql("INSERT INTO todos (member_id, task) SELECT max(id), 'the third' FROM members")
                .await;

            assert_eq!(db.rows("SELECT id, task FROM todos").await, ["3|the third"]);
        }
    }
}
