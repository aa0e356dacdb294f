//! A program that has onerow with one driver, or with none.
//!
//! It is a package of its own, because onerow's own tests have every driver.

#[cfg(test)]
mod tests {
    use onerow::{Database, ErrorKind};

    const POSTGRES: &str = "postgres://somebody:s3cret-pass@127.0.0.1:1/somewhere";

    #[cfg(not(feature = "postgres"))]
    #[tokio::test]
    async fn a_url_of_postgres_is_told_which_feature_is_missing() {
        let error = Database::connect(POSTGRES).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DriverMissing, "{error:?}");
        let text = error.explain().to_string();
        assert!(
            text.contains("not compiled in: it needs the cargo feature \"postgres\""),
            "{text}"
        );
        assert!(!text.contains("s3cret-pass"), "{text}");
    }

    #[cfg(not(feature = "sqlite"))]
    #[tokio::test]
    async fn a_url_of_sqlite_is_told_which_feature_is_missing() {
        let error = Database::connect("sqlite::memory:").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DriverMissing, "{error:?}");
        assert!(error.to_string().contains("it needs the cargo feature \"sqlite\""), "{error}");
    }

    #[cfg(feature = "postgres")]
    #[tokio::test]
    async fn a_url_of_postgres_reaches_its_driver() {
        let error = Database::connect(POSTGRES).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ServerUnreachable, "{error:?}");
    }

    #[cfg(feature = "sqlite")]
    #[tokio::test]
    async fn a_url_of_sqlite_reaches_its_driver_and_migrates() {
        let db = Database::connect("sqlite::memory:").await.unwrap();
        assert_eq!(onerow::registry![].up(&db).await.unwrap().version, -1);
        db.disconnect().await.unwrap();
    }
}
