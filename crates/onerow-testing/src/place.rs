//! The place of a test's database. Dropping the value removes it.

use onerow::Database;

/// A test's database.
pub(super) enum Place {
    #[cfg(feature = "postgres")]
    Postgres(super::postgres::TestDb),
    #[cfg(feature = "sqlite")]
    File(super::test_file::TestFile),
    #[cfg(feature = "sqlite")]
    Memory,
}

/// As long as it lives, nobody else builds templates.
#[expect(dead_code, reason = "held, not read")]
pub(super) enum Lock {
    Session(Database),
    File(std::fs::File),
}
