//! Migrations of plain SQL.

use async_trait::async_trait;
use onerow_sql::{Dialect, Kind, psql, statements, tokens};
use sea_orm::{DatabaseBackend, DbErr};

use crate::{
    database::Database,
    driver,
    migration::{MigrationTrait, Mode, hash},
    place::{Place, Spot},
    registry::Registry,
};

/// A migration of plain SQL. As a rule it is a file of
/// [`embed_migrations!`](crate::embed_migrations!).
///
/// PostgreSQL gets the whole script at once. SQLite gets one statement after the other, since it
/// does not say which one failed. The error of a run names the line. A command of psql in a script
/// is an error, but the lines `\restrict` and `\unrestrict`, which `pg_dump` prints, are left out.
#[derive(Debug, Clone)]
pub struct SqlMigration {
    name: &'static str,
    description: &'static str,
    file: Option<&'static str>,
    sql: &'static str,
    mode: Mode,
}

impl SqlMigration {
    /// Makes a migration that runs this script. [`Mode`] says what it means to run outside a
    /// transaction.
    ///
    /// `name` is the name that the old tool gives it, and so what it
    /// [`replaces`](MigrationTrait::replaces): `20220101000001_create_users`, `V1__create_users`. A
    /// byte order mark at the beginning of the script is left out, since PostgreSQL would take it
    /// for a part of the first word.
    #[must_use]
    pub fn new(
        name: &'static str,
        description: &'static str,
        sql: &'static str,
        mode: Mode,
    ) -> Self {
        let sql = sql.strip_prefix('\u{feff}').unwrap_or(sql);
        Self { name, description, file: None, sql, mode }
    }

    /// The name of the script in errors.
    fn script(&self) -> String {
        self.file.map_or_else(|| format!("the script of {}", self.name), str::to_owned)
    }

    /// Sends the whole script. PostgreSQL says at which character it failed.
    async fn run_at_once(&self, db: &Database) -> Result<(), DbErr> {
        let sql = psql::for_the_server(self.sql).map_err(|psql::ForPsql { line, what }| {
            DbErr::Custom(format!("{what}\nin {}, line {line}", self.script()))
        })?;
        db.send(&sql).await.map(drop).map_err(|error| {
            driver::placed(error, |position| {
                let offset = position.and_then(|position| position.offset_in(&sql));
                let only = || match &statements(&sql, Dialect::Postgres)[..] {
                    [only] => Spot::Statement(only.clone()),
                    _ => Spot::Unknown,
                };
                Place::in_script(&self.script(), &sql, offset.map_or_else(only, Spot::At))
            })
        })
    }

    /// Sends one statement after the other. SQLite's driver does not say which of several failed.
    async fn run_one_by_one(&self, db: &Database) -> Result<(), DbErr> {
        for range in statements(self.sql, Dialect::Sqlite) {
            if let Err(error) = db.send(&self.sql[range.clone()]).await {
                let offset = misplaced(db, &self.sql[range.clone()], &error).await;
                let spot = offset.map_or(Spot::Statement(range.clone()), |offset| {
                    Spot::At(range.start + offset)
                });
                return Err(driver::placed(error, |_| {
                    Place::in_script(&self.script(), self.sql, spot)
                }));
            }
        }
        Ok(())
    }
}

/// The offset of the token at which SQLite found a syntax error. A binary search finds it: SQLite
/// rejects each part of the statement that holds the token in the same words. `EXPLAIN` runs
/// nothing.
async fn misplaced(db: &Database, statement: &str, error: &DbErr) -> Option<usize> {
    let words = driver::words(error);
    let tokens: Vec<_> =
        tokens(statement, Dialect::Sqlite).filter(|token| token.kind != Kind::Comment).collect();
    // After a semicolon, as in the body of a trigger, a statement would begin without `EXPLAIN`.
    if !words.ends_with(": syntax error") || tokens.iter().any(|token| token.is_symbol(";")) {
        return None;
    }
    let (mut accepted, mut rejected) = (0, tokens.len());
    while accepted < rejected {
        let middle = usize::midpoint(accepted, rejected);
        let end = tokens[middle].start + tokens[middle].text.len();
        match db.probe(&format!("EXPLAIN {}", &statement[..end])).await {
            Err(error) if driver::words(&error) == words => rejected = middle,
            _ => accepted = middle + 1,
        }
    }
    tokens.get(rejected).map(|token| token.start)
}

// Otherwise the compiler names this type as an example if a migration lacks the trait.
#[diagnostic::do_not_recommend]
#[async_trait]
impl MigrationTrait for SqlMigration {
    fn description(&self) -> &str {
        self.description
    }

    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        match db.get_database_backend() {
            DatabaseBackend::Sqlite => self.run_one_by_one(db).await,
            _ => self.run_at_once(db).await,
        }
    }

    fn mode(&self) -> Mode {
        self.mode
    }

    fn transactional(&self) -> bool {
        self.mode == Mode::Transaction
    }

    fn replaces(&self) -> Vec<&str> {
        vec![self.name]
    }

    fn script(&self) -> Option<&str> {
        Some(self.sql)
    }

    fn identity(&self) -> Option<u64> {
        Some(hash(&(self.name, self.sql, self.mode == Mode::Transaction)))
    }
}

/// Not an interface: a file as `embed_migrations!` writes it. Plain data costs the compiler
/// nothing.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct Script {
    pub name: &'static str,
    pub description: &'static str,
    pub file: &'static str,
    pub sql: &'static str,
    pub transactional: bool,
}

/// Not an interface: makes the registry of the files of `embed_migrations!`.
#[doc(hidden)]
#[must_use]
pub fn embedded(scripts: &[Script]) -> Registry {
    let boxed = |&Script { name, description, file, sql, transactional }: &Script| {
        let mode = if transactional { Mode::Transaction } else { Mode::Outside };
        let migration = SqlMigration::new(name, description, sql, mode);
        Box::new(SqlMigration { file: Some(file), ..migration }) as Box<dyn MigrationTrait>
    };
    Registry::new(scripts.iter().map(boxed).collect())
}

/// Makes the [`Registry`](crate::Registry) of a folder of `.sql` files that were written for sqlx,
/// refinery or diesel.
///
/// The path is relative to the folder of the crate's `Cargo.toml`, unless it is absolute. The files
/// are read when the crate is compiled, and become a part of it: the program needs none of them.
/// Each up script is an [`SqlMigration`](crate::SqlMigration). The versions begin at 0, in the
/// order of the tool. Down scripts are left out.
///
/// ```
/// let registry = onerow::embed_migrations!("tests/embedded/sqlx");
/// assert_eq!(registry.latest(), 4);
/// ```
///
/// | written for | up scripts | in the order of |
/// |---|---|---|
/// | sqlx | `1_name.sql` or `1_name.up.sql`, not in subfolders | the numbers |
/// | refinery | `V1__name.sql` and `U1__name.sql`, in subfolders too | the numbers |
/// | diesel | `1_name/up.sql` | the text before the first `_`, without `-` |
///
/// As a rule a script runs in a transaction. A script of sqlx runs outside a transaction if it
/// starts with `-- no-transaction`. A script of diesel does so if there is a `metadata.toml` beside
/// it that lacks `run_in_transaction = true`.
///
/// An empty script is a migration that does nothing. A script leaves its transaction to the run:
/// one with a `COMMIT` fails, and what it did before that stays.
///
/// To leave out a file or a subfolder that is no migration, give its path in the folder:
///
/// ```
/// let registry = onerow::embed_migrations!("tests/embedded/refinery", except = ["later"]);
/// assert_eq!(registry.latest(), 1);
/// ```
///
/// # What does not compile
///
/// The tools ignore a file whose name they do not know. Here such a `.sql` file is an error. Hidden
/// files are ignored, and files that do not end in `.sql`. These are errors too:
///
/// - two migrations of one version
/// - files for two of the tools
/// - a down script without its up script
/// - a migration of refinery in Rust
/// - a folder without migrations
/// - a file or a folder that cannot be read
/// - a file that goes both up and down, as those of dbmate, goose, tern and sql-migrate do: all of
///   it would be run
/// - a file with commands of psql, such as `\connect`, or with the rows of `COPY … FROM stdin`
///
/// # When the folder changes
///
/// After a change of a file, cargo compiles the crate again. After a file is *added*, cargo does so
/// only if a `build.rs` beside the crate's `Cargo.toml` tells it to look at the folder:
///
/// ```
/// // In the `main` of build.rs:
/// println!("cargo::rerun-if-changed=migrations");
/// ```
#[macro_export]
macro_rules! embed_migrations {
    ($directory:literal $(, except = [$($file:literal),* $(,)?])? $(,)?) => {
        $crate::__private::embed_migrations!($crate $directory [$($($file),*)?])
    };
}
