//! The migrations that every program applies. Each makes one table and one index.

/// A migration. Its texts live as long as the program, like texts that are compiled in.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// Its place in the order, from 0.
    pub number: u16,
    /// `m00007_t7`, so that names sort as the numbers do.
    pub name: &'static str,
    /// Two statements, in one text.
    pub sql: &'static str,
}

/// So many migrations, in order.
#[must_use]
pub fn migrations(count: u16) -> Vec<Migration> {
    (0..count).map(migration).collect()
}

fn migration(number: u16) -> Migration {
    Migration { number, name: format!("m{number:05}_t{number}").leak(), sql: sql(number).leak() }
}

/// The text of a migration.
#[must_use]
pub fn sql(number: u16) -> String {
    let (table, index) = (table(number), index(number));
    format!(
        "CREATE TABLE {table} (id INTEGER PRIMARY KEY, name TEXT NOT NULL); \
         CREATE INDEX {index} ON {table} (name)"
    )
}

/// The table that a migration makes.
#[must_use]
pub fn table(number: u16) -> String {
    format!("t{number}")
}

/// The index that a migration makes.
#[must_use]
pub fn index(number: u16) -> String {
    format!("t{number}_name")
}

/// The query of a bare connection that finds nothing to do.
pub const VERSION: &str = "SELECT version FROM current_version";

/// Makes the row that [`VERSION`] reads. Like each tool's table it has a primary key, whose index
/// PostgreSQL looks up for the first statement of a connection.
pub const MAKE_VERSION: &str = "CREATE TABLE current_version (id INTEGER PRIMARY KEY, \
    version INTEGER NOT NULL); \
    INSERT INTO current_version VALUES (0, 0)";
