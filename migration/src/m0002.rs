//! A to-do's priority becomes a column.
//!
//! Until now members wrote it into the task: `! call the bank` is high, `!! pay the rent` is urgent. The marks move into
//! `todos.priority` (0 normal, 1 high, 2 urgent) and leave the text. Not every exclamation mark is one of them:
//! `!important in the stylesheet` and `!!!` are tasks, and cutting their marks off would lose what a member wrote.

use onerow::prelude::{schema::*, *};

pub struct Migration;

/// Marks, a space and something to do.
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

/// The default gives every to-do of before its value, and lets SQLite add a column that is not null.
async fn add_priority(db: &Database) -> Result<(), DbErr> {
    let priority = small_integer("priority").default(0).check(Expr::col("priority").between(0, 2)).take();
    db.schema().alter_table(Table::alter().table("todos").add_column(priority).take()).await
}

/// One statement, however many to-dos there are. The outer `ltrim` takes the spaces that followed the marks.
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
    use onerow::testing::{TestDatabase, on_every_backend};

    use super::Migration;
    use crate::{registry, rows::texts};

    /// A database at version 1 with these tasks, taken to version 2.
    async fn migrated(db: &TestDatabase, tasks: &[&str]) {
        db.up_to(&registry(), 1).await.unwrap();
        db.execute_unprepared("INSERT INTO members (email) VALUES ('ada@example.org')").await.unwrap();
        for task in tasks {
            db.execute_unprepared(&format!(
                "INSERT INTO todos (member_id, task) SELECT id, '{task}' FROM members"
            ))
            .await
            .unwrap();
        }
        db.apply(&registry(), 2).await.unwrap();
    }

    /// Each to-do as `priority|task`.
    async fn todos(db: &TestDatabase) -> Vec<String> {
        texts(db, "SELECT CAST(priority AS TEXT) || '|' || task FROM todos ORDER BY id").await
    }

    on_every_backend! {
        async fn marks_become_the_priority_and_leave_the_text(db: TestDatabase) {
            migrated(&db, &["water the plants", "! call the bank", "!! pay the rent", "!!!   run"]).await;

            assert_eq!(todos(&db).await, ["0|water the plants", "1|call the bank", "2|pay the rent", "2|run"]);
        }

        async fn what_only_looks_like_a_mark_stays_as_it_was_written(db: TestDatabase) {
            let tasks = ["!important in the stylesheet", "!!!", "! ", "! !", "shout!", " ! indented", ""];

            migrated(&db, &tasks).await;

            assert_eq!(todos(&db).await, tasks.map(|task| format!("0|{task}")));
        }

        async fn nothing_else_about_a_todo_changes(db: TestDatabase) {
            db.up_to(&registry(), 1).await.unwrap();
            db.execute_unprepared("INSERT INTO members (email) VALUES ('ada@example.org')").await.unwrap();
            db.execute_unprepared(
                "INSERT INTO todos (member_id, task, complete, due, created)
                 SELECT id, '! call', TRUE, '2030-01-01 00:00:00+00:00', '2020-01-01 00:00:00+00:00' FROM members",
            )
            .await
            .unwrap();

            db.apply(&registry(), 2).await.unwrap();

            let kept = "SELECT task FROM todos WHERE complete
                        AND due = '2030-01-01 00:00:00+00:00' AND created = '2020-01-01 00:00:00+00:00'";
            assert_eq!(texts(&db, kept).await, ["call"]);
        }

        async fn a_database_without_todos_is_migrated_too(db: TestDatabase) {
            migrated(&db, &[]).await;

            assert!(todos(&db).await.is_empty());
        }

        async fn a_priority_that_does_not_exist_is_refused(db: TestDatabase) {
            migrated(&db, &["water the plants"]).await;

            for priority in ["-1", "3", "NULL"] {
                db.execute_unprepared(&format!("UPDATE todos SET priority = {priority}")).await.unwrap_err();
            }
        }

        async fn validate_notices_a_mark_that_was_left_behind(db: TestDatabase) {
            migrated(&db, &["! call the bank"]).await;
            db.execute_unprepared("UPDATE todos SET priority = 0, task = '! call the bank'").await.unwrap();

            let error = Migration.validate(&db).await.unwrap_err();

            assert_eq!(error, DbErr::Migration("todo 1 is still marked in the text".to_owned()));
        }

        async fn validate_notices_a_text_that_was_lost(db: TestDatabase) {
            migrated(&db, &["!! pay the rent"]).await;
            db.execute_unprepared("UPDATE todos SET task = ''").await.unwrap();

            let error = Migration.validate(&db).await.unwrap_err();

            assert_eq!(error, DbErr::Migration("todo 1 is left without a text".to_owned()));
        }
    }
}
