//! The app's routes on a test's own database, without a server in between.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Method, Request, header::CONTENT_TYPE},
};
use onerow_testing::{Backend, TestDatabase};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::server::router;

pub struct TestApp {
    routes: Router,
    /// All migrations are applied. The app finds the rows that a test inserts.
    pub db: TestDatabase,
}

impl TestApp {
    pub async fn on(backend: Backend) -> Self {
        let db = backend.database(migration::registry()).await;
        let routes = router(Arc::new(db.connect().await));
        Self { routes, db }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path, Body::empty()).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.request(Method::POST, path, Body::from(body.to_string())).await
    }

    /// The id of a new member.
    pub async fn member(&self, email: &str) -> Value {
        self.post("/members/", json!({ "email": email })).await.expect(201)["id"].clone()
    }

    async fn request(&self, method: Method, path: &str, body: Body) -> Answer {
        let request =
            Request::builder().method(method).uri(path).header(CONTENT_TYPE, "application/json");
        let answer = self.routes.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let status = answer.status().as_u16();
        let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        Answer { status, body: serde_json::from_slice(&body).unwrap_or_default() }
    }
}

pub struct Answer {
    status: u16,
    body: Value,
}

impl Answer {
    /// Checks the status of the answer, and returns the body.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }
}
