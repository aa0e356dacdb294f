//! Which migrations a database has.

use crate::{
    database::Database,
    error::Error,
    migration::module_name,
    registry::Registry,
    version::{self, being_written},
};

impl Registry {
    /// Says which migrations are applied. It sends one `SELECT`, so it changes nothing and needs no
    /// right to.
    ///
    /// # Errors
    /// If the version cannot be read, or if the table or the row is not what onerow made.
    pub async fn status(&self, db: &Database) -> Result<Status, Error> {
        let (pool, table) = self.on(db)?;
        let found = version::read(pool, &table).await?.found();
        let version = found.version().ok_or_else(being_written)?;
        let migrations = self.migrations().map(|(number, migration)| MigrationStatus {
            version: number,
            description: migration.description().to_owned(),
            applied: number <= version,
        });
        Ok(Status { version, latest: self.latest(), migrations: migrations.collect() })
    }
}

/// The migrations of a registry, and which of them a database has; from [`Registry::status`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Status {
    /// The version that the database holds. It is −1 if nothing is applied yet.
    pub version: i32,
    /// The last version in the registry.
    pub latest: i32,
    /// Each migration of the registry, in order.
    pub migrations: Vec<MigrationStatus>,
}

impl Status {
    /// Whether the database holds a version that this build does not know.
    #[must_use]
    pub fn is_ahead(&self) -> bool {
        self.version > self.latest
    }

    /// Whether [`up`](Registry::up) would find something to do.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.version < self.latest
    }
}

/// One migration of a [`Status`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MigrationStatus {
    /// Its version.
    pub version: i32,
    /// Its [`description`](crate::MigrationTrait::description).
    pub description: String,
    /// Whether it is applied to the database.
    pub applied: bool,
}

impl MigrationStatus {
    /// The name of its module, such as `m0007`.
    #[must_use]
    pub fn name(&self) -> String {
        module_name(self.version)
    }
}
