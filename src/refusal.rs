//! The answer to a request that is not granted.

use axum::{
    Json,
    extract::rejection::{JsonRejection, PathRejection, QueryRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use sea_orm::DbErr;
use serde_json::json;

/// A status, and `{"error": "…"}` for the client.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    message: String,
}

impl Refusal {
    /// A stranger reads the message: it says what is wrong with the request, and nothing about our
    /// insides.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "error": self.message }))).into_response()
    }
}

/// Errors of the database go to the log, not to the client.
impl From<DbErr> for Refusal {
    fn from(error: DbErr) -> Self {
        tracing::error!(%error, "the database did not do what a request asked");
        match error {
            DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the database cannot be reached; try again later",
            ),
            _ => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the request failed; it is not your fault",
            ),
        }
    }
}

macro_rules! from_rejections {
    ($($rejection:ident),*) => {
        $(impl From<$rejection> for Refusal {
            fn from(rejection: $rejection) -> Self {
                Self::new(rejection.status(), rejection.body_text())
            }
        })*
    };
}

from_rejections!(JsonRejection, PathRejection, QueryRejection);
