//! The pool, on the newest schema.

use std::sync::Arc;

use axum::extract::State;
use onerow::Database;
use sea_orm::ConnectOptions;

/// The pool, as an argument of the handlers.
pub type Db = State<Arc<Database>>;

/// Opens a pool and brings the schema up to date.
///
/// # Errors
/// If the pool cannot be opened, or a migration fails. The error says at which version the database
/// is then.
pub async fn create_database(
    options: impl Into<ConnectOptions>,
) -> Result<Database, onerow::Error> {
    let db = Database::connect(options).await?;
    let report = migration::registry().up(&db).await?;
    tracing::info!(
        from = report.initial,
        version = report.version,
        applied = report.applied.len(),
        "the schema is up to date"
    );
    Ok(db)
}
