//! The pool, on the newest schema.

use onerow::Database;
use sea_orm::ConnectOptions;

/// Opens a pool, on a URL or with options of its own, and brings the schema up to date.
///
/// # Errors
/// What keeps the pool from being opened or a migration from succeeding; the database is then at
/// the version that the error names.
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
