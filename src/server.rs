//! The routes; serving, and stopping without dropping a request.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::DefaultBodyLimit,
    http::{Method, StatusCode, Uri},
    routing::{get, post},
};
use onerow::Database;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::oneshot, time::sleep};
use tracing::{info, warn};

use crate::{error::Error, members, refusal::Refusal, signals::Signals, todos};

/// In bytes: several times the size of our largest request.
const BODY_LIMIT: usize = 64 * 1024;

/// Serves until a signal. Then it accepts no more connections, lets the requests in flight finish
/// for at most `grace`, and closes the pool.
pub async fn serve(
    listener: TcpListener,
    db: Database,
    mut signals: Signals,
    grace: Duration,
) -> Result<(), Error> {
    let address = listener.local_addr().map_err(Error::Serve)?;
    let db = Arc::new(db);
    let (stop, stopped) = oneshot::channel();
    let serving =
        axum::serve(listener, router(Arc::clone(&db))).with_graceful_shutdown(async move {
            let signal = signals.next().await;
            info!("{signal}: stopping once the requests in flight are done");
            let _ = stop.send(());
        });
    info!("listening on http://{address}");

    let finished = async {
        serving.await.map_err(Error::Serve)?;
        db.disconnect().await?;
        info!("the pool is closed");
        Ok(())
    };
    let overdue = async {
        let _ = stopped.await;
        sleep(grace).await;
        warn!("requests were still running after {} s; they are cut off", grace.as_secs());
        Ok(())
    };
    tokio::select! {
        outcome = finished => outcome,
        outcome = overdue => outcome,
    }
}

/// All routes, on this pool.
pub fn router(db: Arc<Database>) -> Router {
    Router::new()
        .route("/control/ping/", get(ping))
        .route("/members/", post(members::create))
        .route("/todos/", get(todos::list).post(todos::create))
        .route("/todos/{id}/", get(todos::read).put(todos::replace).delete(todos::delete))
        .fallback(unknown_route)
        .method_not_allowed_fallback(unknown_method)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(db)
}

async fn ping() -> Json<Value> {
    Json(json!({ "ping": "pong" }))
}

async fn unknown_route(uri: Uri) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, format!("there is no {}", uri.path()))
}

async fn unknown_method(method: Method, uri: Uri) -> Refusal {
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, format!("{} does not take {method}", uri.path()))
}
