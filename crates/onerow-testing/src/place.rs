//! Where a test's database is, gone when the value is dropped.

use onerow::Database;

/// A database of a test.
pub(super) enum Place {
    #[cfg(feature = "postgres")]
    Postgres(super::postgres::TestDb),
    #[cfg(feature = "sqlite")]
    File(super::sqlite::TestFile),
    #[cfg(feature = "sqlite")]
    Memory,
}

/// Shuts out who else builds templates, until it is dropped.
#[expect(dead_code, reason = "held, not read")]
pub(super) enum Lock {
    Session(Database),
    File(std::fs::File),
}
