//! `/members/`.

use axum::{extract::State, http::StatusCode};
use entity::member;
use sea_orm::{ActiveModelTrait, ActiveValue::Set, DbErr, SqlErr, prelude::DateTimeUtc};
use serde::{Deserialize, Serialize};

use crate::{extract::Json, fields::Email, refusal::Refusal, server::Db};

/// What it takes to become a member.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewMember {
    email: Email,
}

/// What others may know of a member.
#[derive(Serialize)]
pub struct Member {
    id: i64,
    email: String,
    created: DateTimeUtc,
}

/// Creates a member, unless the e-mail has one.
pub async fn create(
    State(db): Db,
    Json(new): Json<NewMember>,
) -> Result<(StatusCode, axum::Json<Member>), Refusal> {
    let member = member::ActiveModel { email: Set(new.email.0), ..Default::default() };
    let member::Model { id, email, created, .. } = member.insert(&*db).await.map_err(refuse_duplicate)?;
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
