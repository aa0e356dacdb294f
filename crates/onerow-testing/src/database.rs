//! A database that lives as long as the test that asked for it.

use std::{fmt, ops::Deref, panic::Location};

use sea_orm::{ConnectOptions, ConnectionTrait, DbErr, EntityTrait};

use onerow_schema::{EntityDifference, Schema, Table};

use crate::{
    apply::{Apply, ApplyError, apply},
    place::Place,
    rows::{Selected, select},
    template::{self, Store},
};
use onerow::{Database, Registry, databases, is_version_table, words};

/// A database of one test. It is removed when it is dropped, also by a panic.
///
/// A [`Backend`](super::Backend) makes it, at the version that the test starts from. It derefs to
/// its pool, a [`Database`], and entities and queries run on it directly. [`apply`](Self::apply)
/// and its like use the registry that it was made with.
pub struct TestDatabase {
    // The order of the drops: the pool closes before the database is removed.
    database: Database,
    _place: Place,
    url: String,
    registry: Registry,
}

impl fmt::Debug for TestDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Its URL may hold a password.
        let location = databases::locate(&self.url).map(|location| location.to_string());
        f.debug_tuple("TestDatabase").field(&location.unwrap_or_default()).finish()
    }
}

const IN_MEMORY: &str = "sqlite::memory:";

impl TestDatabase {
    pub(super) async fn at(store: &dyn Store, registry: Registry, version: i32) -> Self {
        let migrate = async |place: Place, version| {
            let database = connect(&url(&place)).await;
            apply(&registry, &database, version).await?;
            database.disconnect().await?;
            Ok(place)
        };
        let place = template::database_at(store, &registry, version, migrate).await;
        let place = place.unwrap_or_else(|error: ApplyError| {
            panic!("no database at version {version}: {error}")
        });
        Self::open(place, registry).await
    }

    /// An empty SQLite database in memory, with a pool of one connection.
    ///
    /// # Panics
    /// If SQLite refuses.
    #[cfg(feature = "sqlite")]
    pub async fn in_memory() -> Self {
        Self::open(Place::Memory, Registry::new(Vec::new())).await
    }

    async fn open(place: Place, registry: Registry) -> Self {
        let url = url(&place);
        Self { database: connect(&url).await, _place: place, url, registry }
    }

    /// Its URL, for a program under test that takes a `DATABASE_URL`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Another pool on the same database, as another process would open.
    ///
    /// # Panics
    /// If the database refuses, and for a database in memory, which cannot be reached a second
    /// time.
    pub async fn connect(&self) -> Database {
        assert!(
            self.url != IN_MEMORY,
            "a second pool on sqlite::memory: is another, empty database; \
             take Backend::Sqlite.empty_database()"
        );
        connect(&self.url).await
    }

    /// The registry that it was made with; an empty one for
    /// [`empty_database`](super::Backend::empty_database).
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Applies this one migration.
    ///
    /// # Errors
    /// [`ApplyError::Failed`] with the migration and its SQL, and [`ApplyError::OtherVersion`] if
    /// the database is not at the version before, because the test would then be of something else.
    pub fn apply(&self, version: i32) -> Apply<'_> {
        Apply::new(self, Some(version.saturating_sub(1)), version)
    }

    /// Applies the migrations up to this version.
    ///
    /// # Errors
    /// [`ApplyError::Failed`] with the migration and its SQL.
    pub fn apply_up_to(&self, version: i32) -> Apply<'_> {
        Apply::new(self, None, version)
    }

    /// Applies all migrations that are pending.
    ///
    /// # Errors
    /// [`ApplyError::Failed`] with the migration and its SQL.
    pub fn apply_the_rest(&self) -> Apply<'_> {
        self.apply_up_to(self.registry.latest())
    }

    /// Runs SQL, also several statements, and returns how many rows it changed.
    ///
    /// # Panics
    /// If the database refuses, with the SQL. To test a refusal, use
    /// [`execute_unprepared`](ConnectionTrait::execute_unprepared).
    #[track_caller]
    pub fn sql(&self, sql: &str) -> impl Future<Output = u64> {
        let caller = Location::caller();
        async move {
            match self.database.execute_unprepared(sql).await {
                Ok(done) => done.rows_affected(),
                Err(error) => refused(&error, sql, caller),
            }
        }
    }

    /// The rows that this SQL selects: a line for each row, with `|` between its columns.
    ///
    /// NULL, text, whole numbers and columns declared `BOOLEAN` (`true`, `false`) read the same on
    /// each backend. Other numbers, dates, times, and computed truth values are as the database
    /// writes them.
    ///
    /// # Panics
    /// If the database refuses, with the SQL.
    #[track_caller]
    pub fn rows(&self, sql: &str) -> impl Future<Output = Vec<String>> {
        let caller = Location::caller();
        async move {
            let pool = self.database.connection().unwrap_or_else(|error| panic!("{error}"));
            match select(pool, sql).await {
                Ok(Selected { rows, .. }) => rows.iter().map(|texts| texts.join("|")).collect(),
                Err(error) => refused(&error, sql, caller),
            }
        }
    }

    /// Its schema as it is now, without the tables of onerow's registries.
    ///
    /// # Panics
    /// If it cannot be read.
    pub async fn read_schema(&self) -> Schema {
        let schema = Schema::of(&self.database).await;
        let schema =
            schema.unwrap_or_else(|error| panic!("the schema cannot be read: {}", words(&error)));
        let is_version_table = |table: &&Table| {
            is_version_table(
                table.name(),
                table.columns().iter().map(|column| column.name.as_str()),
            )
        };
        let own: Vec<_> =
            schema.tables().filter(is_version_table).map(|table| table.name().to_owned()).collect();
        own.iter().fold(schema, |schema, table| schema.without(&[table]))
    }

    /// Asserts that an entity describes its table: see [`EntityDifference`].
    ///
    /// # Panics
    /// If it does not, with a line for each difference.
    #[track_caller]
    pub fn assert_matches_entity<E: EntityTrait>(&self, entity: E) -> impl Future<Output = ()> {
        let caller = Location::caller();
        async move {
            let table = entity.table_name().to_owned();
            match EntityDifference::of(&self.database, entity).await {
                Ok(difference) if difference.is_empty() => (),
                Ok(difference) => {
                    panic!(
                        "the entity of {table} does not match its table\n\
                         {difference}\n  at {caller}"
                    )
                }
                Err(error) => panic!("the entity of {table}: {}\n  at {caller}", words(&error)),
            }
        }
    }
}

/// Inside an `async` function, a panic would name its own line instead of the caller's.
fn refused(error: &DbErr, sql: &str, caller: &Location) -> ! {
    panic!("{}\n  SQL: {sql}\n  at {caller}", words(error))
}

fn url(place: &Place) -> String {
    match place {
        #[cfg(feature = "postgres")]
        Place::Postgres(database) => super::postgres::Server::of_this_process().url_of(database),
        #[cfg(feature = "sqlite")]
        Place::File(file) => super::sqlite::url(&file.path()),
        #[cfg(feature = "sqlite")]
        Place::Memory => IN_MEMORY.into(),
    }
}

async fn connect(url: &str) -> Database {
    let mut options = ConnectOptions::new(url);
    // A test's data need not survive a loss of power.
    #[cfg(feature = "sqlite")]
    options.map_sqlx_sqlite_opts(|options| {
        options.synchronous(sea_orm::sqlx::sqlite::SqliteSynchronous::Off)
    });
    Database::connect(options).await.unwrap_or_else(|error| panic!("{}", error.explain()))
}

impl Deref for TestDatabase {
    type Target = Database;

    fn deref(&self) -> &Database {
        &self.database
    }
}
