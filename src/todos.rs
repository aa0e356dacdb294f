//! `/todos/` and `/todos/{id}/`.

use axum::{
    extract::State,
    http::{HeaderName, StatusCode, header::LOCATION},
};
use entity::todo::{self, Priority};
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::{Set, Unchanged},
    ColumnTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait, SqlErr,
};
use serde::{Deserialize, Serialize};

use crate::{
    database::Db,
    extract::{Json, Path, Query},
    fields::{Due, Limit, Task},
    refusal::Refusal,
};

/// The request for a new to-do.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewTodo {
    member_id: i64,
    task: Task,
    #[serde(default)]
    complete: bool,
    #[serde(default)]
    due: Option<Due>,
    #[serde(default)]
    priority: Priority,
}

/// All of a to-do that can change. The member stays the same.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replacement {
    task: Task,
    complete: bool,
    #[serde(default)]
    due: Option<Due>,
    #[serde(default)]
    priority: Priority,
}

/// Selects the to-dos of a page: ids greater than `after`, at most `limit`, done or open or both.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    #[serde(default)]
    limit: Limit,
    after: Option<i64>,
    complete: Option<bool>,
}

/// To-dos in the order of their ids. `next` is the `after` of the following page, if there is one.
#[derive(Serialize)]
pub struct Page {
    todos: Vec<todo::Model>,
    next: Option<i64>,
}

type Created = (StatusCode, [(HeaderName, String); 1], axum::Json<todo::Model>);

/// Creates a to-do for an existing member.
pub async fn create(State(db): Db, Json(new): Json<NewTodo>) -> Result<Created, Refusal> {
    let todo = todo::ActiveModel {
        member_id: Set(new.member_id),
        task: Set(new.task.0),
        complete: Set(new.complete),
        due: Set(new.due.map(|due| due.0)),
        priority: Set(new.priority),
        ..Default::default()
    };
    let todo =
        todo.insert(&*db).await.map_err(|error| refuse_unknown_member(new.member_id, error))?;
    Ok((StatusCode::CREATED, [(LOCATION, format!("/todos/{}/", todo.id))], axum::Json(todo)))
}

/// One to-do.
pub async fn read(State(db): Db, Path(id): Path<i64>) -> Result<axum::Json<todo::Model>, Refusal> {
    let todo = todo::Entity::find_by_id(id).one(&*db).await?;
    todo.map(axum::Json).ok_or_else(|| no_such_todo(id))
}

/// A page of the to-dos of all members.
pub async fn list(
    State(db): Db,
    Query(filter): Query<Filter>,
) -> Result<axum::Json<Page>, Refusal> {
    let Limit(limit) = filter.limit;
    // If there is one more than the page holds, another page follows.
    let mut todos = todo::Entity::find()
        .apply_if(filter.after, |todos, after| todos.filter(todo::Column::Id.gt(after)))
        .apply_if(filter.complete, |todos, complete| {
            todos.filter(todo::Column::Complete.eq(complete))
        })
        .order_by_asc(todo::Column::Id)
        .limit(limit + 1)
        .all(&*db)
        .await?;
    let more = todos.len() as u64 > limit;
    if more {
        todos.pop();
    }
    let next = todos.last().filter(|_| more).map(|todo| todo.id);
    Ok(axum::Json(Page { todos, next }))
}

/// Replaces the contents of a to-do.
pub async fn replace(
    State(db): Db,
    Path(id): Path<i64>,
    Json(new): Json<Replacement>,
) -> Result<axum::Json<todo::Model>, Refusal> {
    let todo = todo::ActiveModel {
        id: Unchanged(id),
        task: Set(new.task.0),
        complete: Set(new.complete),
        due: Set(new.due.map(|due| due.0)),
        priority: Set(new.priority),
        ..Default::default()
    };
    match todo.update(&*db).await {
        Err(DbErr::RecordNotUpdated) => Err(no_such_todo(id)),
        todo => Ok(axum::Json(todo?)),
    }
}

/// Deletes a to-do.
pub async fn delete(State(db): Db, Path(id): Path<i64>) -> Result<StatusCode, Refusal> {
    match todo::Entity::delete_by_id(id).exec(&*db).await?.rows_affected {
        0 => Err(no_such_todo(id)),
        _ => Ok(StatusCode::NO_CONTENT),
    }
}

fn no_such_todo(id: i64) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, format!("there is no todo {id}"))
}

fn refuse_unknown_member(member_id: i64, error: DbErr) -> Refusal {
    match error.sql_err() {
        Some(SqlErr::ForeignKeyConstraintViolation(_)) => Refusal::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("member_id: there is no member {member_id}"),
        ),
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use onerow_testing::{Backend, on_every_backend};
    use serde_json::{Value, json};

    use crate::test_app::TestApp;

    /// The app, with a to-do for each of these tasks. The first has the id 1.
    async fn with_todos(backend: Backend, tasks: &[&str]) -> TestApp {
        let app = TestApp::on(backend).await;
        app.db.sql("INSERT INTO members (email) VALUES ('ada@example.org')").await;
        for task in tasks {
            app.db.sql(&format!("INSERT INTO todos (member_id, task) VALUES (1, '{task}')")).await;
        }
        app
    }

    /// The tasks of a page, and where the next one begins.
    async fn page(app: &TestApp, query: &str) -> (Vec<String>, Value) {
        let page = app.get(&format!("/todos/?{query}")).await.expect(200);
        let tasks = page["todos"].as_array().unwrap().iter();
        (
            tasks.map(|todo| todo["task"].as_str().unwrap().to_owned()).collect(),
            page["next"].clone(),
        )
    }

    fn tasks<const N: usize>(tasks: [&str; N]) -> Vec<String> {
        tasks.map(str::to_owned).into()
    }

    on_every_backend! {
        /// Both backends give the same answer, although PostgreSQL keeps microseconds and SQLite
        /// text.
        async fn a_due_time_comes_back_in_utc_to_the_microsecond(backend: Backend) {
            let app = TestApp::on(backend).await;
            let member = app.member("ada@example.org").await;

            for (sent, stored) in [
                ("2030-01-01T00:30:00+02:00", "2029-12-31T22:30:00Z"),
                ("2030-01-01T00:00:00.123456789Z", "2030-01-01T00:00:00.123456Z"),
                ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
                ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"),
                ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
            ] {
                let todo = json!({ "member_id": member, "task": "wait", "due": sent });
                let todo = app.post("/todos/", todo).await.expect(201);
                assert_eq!(todo["due"], stored);
                assert_eq!(app.get(&format!("/todos/{}/", todo["id"])).await.expect(200), todo);
            }
        }

        async fn todos_are_listed_page_by_page(backend: Backend) {
            let app = with_todos(backend, &["one", "two", "three", "four", "five"]).await;

            assert_eq!(page(&app, "limit=2").await, (tasks(["one", "two"]), json!(2)));
            assert_eq!(page(&app, "limit=2&after=2").await, (tasks(["three", "four"]), json!(4)));
            assert_eq!(page(&app, "limit=2&after=4").await, (tasks(["five"]), Value::Null));
            let all = tasks(["one", "two", "three", "four", "five"]);
            assert_eq!(page(&app, "limit=5").await, (all, Value::Null));
            assert_eq!(page(&app, "after=5").await, (tasks([]), Value::Null));
        }

        async fn the_list_can_be_narrowed_to_what_is_open_or_complete(backend: Backend) {
            let app = with_todos(backend, &["one", "two", "three"]).await;
            app.db.sql("UPDATE todos SET complete = TRUE WHERE id = 2").await;

            assert_eq!(page(&app, "complete=false").await.0, tasks(["one", "three"]));
            assert_eq!(page(&app, "complete=true").await.0, tasks(["two"]));
            assert_eq!(page(&app, "complete=false&limit=1&after=1").await.0, tasks(["three"]));
        }
    }
}
