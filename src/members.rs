//! `/members/`.

use axum::{extract::State, http::StatusCode};
use entity::member;
use sea_orm::{ActiveModelTrait, ActiveValue::Set, DbErr, SqlErr, prelude::DateTimeUtc};
use serde::{Deserialize, Serialize};

use crate::{database::Db, extract::Json, fields::Email, refusal::Refusal};

/// The request for a new member.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewMember {
    email: Email,
}

/// The public part of a member.
#[derive(Serialize)]
pub struct Member {
    id: i64,
    email: String,
    created: DateTimeUtc,
}

/// Creates a member, unless there is one with that e-mail address.
pub async fn create(
    State(db): Db,
    Json(new): Json<NewMember>,
) -> Result<(StatusCode, axum::Json<Member>), Refusal> {
    let member = member::ActiveModel { email: Set(new.email.0), ..Default::default() };
    let member::Model { id, email, created, .. } =
        member.insert(&*db).await.map_err(refuse_duplicate)?;
    Ok((StatusCode::CREATED, axum::Json(Member { id, email, created })))
}

fn refuse_duplicate(error: DbErr) -> Refusal {
    match error.sql_err() {
        Some(SqlErr::UniqueConstraintViolation(_)) => {
            Refusal::new(StatusCode::CONFLICT, "there is already a member with this e-mail address")
        }
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use onerow_testing::{Backend, on_every_backend};
    use serde_json::json;

    use crate::test_app::TestApp;

    on_every_backend! {
        async fn a_new_member_can_be_told_from_the_others_but_shows_no_secrets(backend: Backend) {
            let app = TestApp::on(backend).await;

            let member =
                app.post("/members/", json!({ "email": "ada@example.org" })).await.expect(201);

            let mut fields: Vec<_> = member.as_object().unwrap().keys().collect();
            fields.sort();
            assert_eq!(fields, ["created", "email", "id"]);
            assert_eq!(
                app.db.rows("SELECT id, email, password_hash FROM members").await,
                ["1|ada@example.org|NULL"]
            );
        }

        async fn an_email_has_one_member_however_it_is_typed(backend: Backend) {
            let app = TestApp::on(backend).await;
            app.db.sql("INSERT INTO members (email) VALUES ('Ada@example.org')").await;

            for email in ["Ada@example.org", "ada@example.org", "ADA@EXAMPLE.ORG"] {
                let refusal = app.post("/members/", json!({ "email": email })).await.expect(409);
                assert_eq!(
                    refusal,
                    json!({ "error": "there is already a member with this e-mail address" })
                );
            }
        }
    }
}
