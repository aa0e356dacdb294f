//! Migrations of plain SQL.

use async_trait::async_trait;
use sea_orm::{DatabaseBackend, DbErr};

use crate::{
    Database, MigrationTrait, Registry, driver,
    migration::{Mode, hash},
    place::{Place, Spot},
};
use onerow_sql::{Dialect, Kind, psql, statements, tokens};

/// A migration of plain SQL, a file of [`embed_migrations!`](crate::embed_migrations!) as a rule.
///
/// PostgreSQL is sent the script as it is, all statements of it at once, and SQLite one statement
/// after the other, since it does not say which one failed. The error of a run names the line. What
/// is in a script for psql alone is an error; but the lines `\restrict` and `\unrestrict`, which
/// `pg_dump` prints, are left out.
#[derive(Debug, Clone)]
pub struct SqlMigration {
    name: &'static str,
    description: &'static str,
    file: Option<&'static str>,
    sql: &'static str,
    mode: Mode,
}

impl SqlMigration {
    /// A migration that runs this script; see [`Mode`] for what it means to run outside a transaction.
    ///
    /// `name` is what the tool calls it that it was written for, and so what it
    /// [`replaces`](MigrationTrait::replaces): `20220101000001_create_users`, `V1__create_users`. A byte order mark at the beginning of
    /// the script is left out, which PostgreSQL would take for a part of the first word.
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

    /// What an error calls the script.
    fn script(&self) -> String {
        self.file.map_or_else(|| format!("the script of {}", self.name), str::to_owned)
    }

    /// The server says at which character it failed.
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

/// Where the token is that SQLite stumbles over, by trying how much of the statement it takes: what
/// it does not take it refuses in the same words, however long it goes on. `EXPLAIN` does nothing.
async fn misplaced(db: &Database, statement: &str, error: &DbErr) -> Option<usize> {
    let words = driver::words(error);
    let tokens: Vec<_> =
        tokens(statement, Dialect::Sqlite).filter(|token| token.kind != Kind::Comment).collect();
    // Behind a semicolon, as in the body of a trigger, there would be a further statement, without
    // `EXPLAIN`.
    if !words.ends_with(": syntax error") || tokens.iter().any(|token| token.is_symbol(";")) {
        return None;
    }
    let (mut taken, mut refused) = (0, tokens.len());
    while taken < refused {
        let middle = usize::midpoint(taken, refused);
        let end = tokens[middle].start + tokens[middle].text.len();
        match db.probe(&format!("EXPLAIN {}", &statement[..end])).await {
            Err(error) if driver::words(&error) == words => refused = middle,
            _ => taken = middle + 1,
        }
    }
    tokens.get(refused).map(|token| token.start)
}

// For whoever forgot the trait on a migration of their own, the compiler would name this type as an example.
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

/// Not an interface: a file of a folder, as `embed_migrations!` has it. Plain data, which costs the
/// compiler nothing.
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

/// Not an interface: what `embed_migrations!` comes to.
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

/// The [`Registry`](crate::Registry) of a folder of `.sql` files that were written for sqlx, refinery or diesel.
///
/// The path counts from the folder of the crate's `Cargo.toml`, unless it is absolute. The files are read when the crate is
/// compiled, and become a part of it: the program needs none of them. Each up script is an [`SqlMigration`], from version 0 on
/// in the order of the tool; down scripts are left out.
///
/// ```
/// let registry = onerow::embed_migrations!("tests/embedded/sqlx");
/// assert_eq!(registry.latest(), 4);
/// ```
///
/// | written for | up scripts | in the order of | without a transaction |
/// |---|---|---|---|
/// | sqlx | `1_name.sql` or `1_name.up.sql`, not in subfolders | the numbers | the file starts with `-- no-transaction` |
/// | refinery | `V1__name.sql` and `U1__name.sql`, in subfolders too | the numbers | never |
/// | diesel | `1_name/up.sql` | the text before the first `_`, without `-` | a `metadata.toml` beside it lacks `run_in_transaction = true` |
///
/// An empty script is a migration that does nothing. A script leaves its transaction to the run: one with a `COMMIT` fails,
/// and what it did before that stays.
///
/// A file or a subfolder that is none of the migrations is left out by its path in the folder:
///
/// ```
/// let registry = onerow::embed_migrations!("tests/embedded/refinery", except = ["later"]);
/// assert_eq!(registry.latest(), 1);
/// ```
///
/// # What does not compile
///
/// The tools pass over a file whose name they do not know. Here each `.sql` file is a migration or an error, and so are two
/// migrations of one version, files for two of the tools, a down script without its up script, a migration of refinery
/// in Rust, a folder without migrations, and what cannot be read. What is hidden is passed over, and what is not `.sql`.
///
/// Nor does a file that holds both ways, as those of dbmate, goose, tern and sql-migrate: all of it
/// would be run. Nor one with commands of psql, such as `\connect`, or with the rows of `COPY …
/// FROM stdin`.
///
/// # When the folder changes
///
/// After a change of a file, cargo compiles the crate again. For a file that is *added* it does so only if it is told to
/// look at the folder, by a `build.rs` beside the crate's `Cargo.toml`:
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
