//! A to-do's priority becomes a column.
//!
//! Until now members wrote it into the task: `! call the bank` is high, `!! pay the rent` is
//! urgent. The marks move into `todos.priority` (0 normal, 1 high, 2 urgent) and leave the text.
//! Not every exclamation mark is one of them: `!important in the stylesheet` and `!!!` are tasks,
//! and cutting their marks off would lose what a member wrote.

use onerow::prelude::{schema::*, *};

pub struct Migration;

/// The text has marks, a space and something to do.
const IS_MARKED: &str = "task LIKE '!%' AND ltrim(task, '!') LIKE ' %' AND ltrim(task, '! ') <> ''";

#[async_trait]
impl MigrationTrait for Migration {
    fn description(&self) -> &str {
        "priority of a todo, out of its text"
    }

    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        add_priority(db).await?;
        move_marks_into_priority(db).await
    }

    async fn validate(&self, db: &Database) -> Result<(), DbErr> {
        none_of(db, &format!("priority = 0 AND {IS_MARKED}"), "still marked in the text").await?;
        none_of(db, "priority > 0 AND task = ''", "left without a text").await
    }
}

/// The default gives a value to every to-do that exists, and lets SQLite add a column that is not
/// null.
async fn add_priority(db: &Database) -> Result<(), DbErr> {
    let priority =
        small_integer("priority").default(0).check(Expr::col("priority").between(0, 2)).take();
    db.schema().alter_table(Table::alter().table("todos").add_column(priority).take()).await
}

/// One statement, however many to-dos there are. The outer `ltrim` takes the spaces that followed
/// the marks.
async fn move_marks_into_priority(db: &Database) -> Result<(), DbErr> {
    db.execute_unprepared(&format!(
        "UPDATE todos
         SET priority = CASE WHEN task LIKE '!!%' THEN 2 ELSE 1 END, task = ltrim(ltrim(task, '!'))
         WHERE {IS_MARKED}"
    ))
    .await?;
    Ok(())
}

async fn none_of(db: &Database, condition: &str, complaint: &str) -> Result<(), DbErr> {
    let matching = Query::select()
        .column("id")
        .from("todos")
        .and_where(Expr::cust(condition.to_owned()))
        .limit(1)
        .take();
    match db.query_one(&matching).await? {
        None => Ok(()),
        Some(todo) => {
            Err(DbErr::Migration(format!("todo {} is {complaint}", todo.try_get::<i64>("", "id")?)))
        }
    }
}

#[cfg(test)]
mod tests {
    use onerow::prelude::*;
    use onerow_testing::{Apply, Backend, TestDatabase, on_every_backend};

    use super::Migration;
    use crate::registry;

    /// A database before this migration, with a member who has these tasks.
    async fn with_tasks(backend: Backend, tasks: &[&str]) -> TestDatabase {
        let db = backend.database_before(registry(), 2).await;
        db.sql("INSERT INTO members (email) VALUES ('ada@example.org')").await;
        for task in tasks {
            db.sql(&format!(
                "INSERT INTO todos (member_id, task) SELECT id, '{task}' FROM members"
            ))
            .await;
        }
        db
    }

    /// The migration. It changes nothing but the text of to-dos.
    fn migrate(db: &TestDatabase) -> Apply<'_> {
        db.apply(2).keeping_every_row().except("todos.task")
    }

    /// Each to-do as `priority|task`.
    async fn todos(db: &TestDatabase) -> Vec<String> {
        db.rows("SELECT priority, task FROM todos ORDER BY id").await
    }

    on_every_backend! {
        async fn marks_become_the_priority_and_leave_the_text(backend: Backend) {
            let db = with_tasks(
                backend,
                &["water the plants", "! call the bank", "!! pay the rent", "!!!   run"],
            )
            .await;

            migrate(&db).await.unwrap();

            assert_eq!(
                todos(&db).await,
                ["0|water the plants", "1|call the bank", "2|pay the rent", "2|run"]
            );
        }

        async fn what_only_looks_like_a_mark_stays_as_it_was_written(backend: Backend) {
            let tasks =
                ["!important in the stylesheet", "!!!", "! ", "! !", "shout!", " ! indented", ""];
            let db = with_tasks(backend, &tasks).await;

            db.apply(2).keeping_every_row().await.unwrap();

            assert_eq!(todos(&db).await, tasks.map(|task| format!("0|{task}")));
        }

        async fn nothing_else_about_a_todo_changes(backend: Backend) {
            let db = with_tasks(backend, &["! call"]).await;
            db.sql(
                "UPDATE todos SET complete = TRUE, due = '2030-01-01 00:00:00+00:00', \
                created = '2020-01-01 00:00:00+00:00'",
            )
            .await;

            migrate(&db).await.unwrap();

            assert_eq!(todos(&db).await, ["1|call"]);
        }

        async fn a_database_without_todos_is_migrated_too(backend: Backend) {
            let db = with_tasks(backend, &[]).await;

            migrate(&db).await.unwrap();

            assert!(todos(&db).await.is_empty());
        }

        async fn a_priority_that_does_not_exist_is_refused(backend: Backend) {
            let db = with_tasks(backend, &["water the plants"]).await;
            migrate(&db).await.unwrap();

            for priority in ["-1", "3", "NULL"] {
                db.execute_unprepared(&format!("UPDATE todos SET priority = {priority}"))
                    .await
                    .unwrap_err();
            }
        }

        async fn validate_notices_a_mark_that_was_left_behind(backend: Backend) {
            let db = with_tasks(backend, &["! call the bank"]).await;
            migrate(&db).await.unwrap();
            db.sql("UPDATE todos SET priority = 0, task = '! call the bank'").await;

            let error = Migration.validate(&db).await.unwrap_err();

            assert_eq!(error, DbErr::Migration("todo 1 is still marked in the text".to_owned()));
        }

        async fn validate_notices_a_text_that_was_lost(backend: Backend) {
            let db = with_tasks(backend, &["!! pay the rent"]).await;
            migrate(&db).await.unwrap();
            db.sql("UPDATE todos SET task = ''").await;

            let error = Migration.validate(&db).await.unwrap_err();

            assert_eq!(error, DbErr::Migration("todo 1 is left without a text".to_owned()));
        }
    }
}
