//! Migrations of plain SQL.

#[cfg(feature = "testing")]
use std::hash::Hash;

use async_trait::async_trait;
use sea_orm::{ConnectionTrait, DbErr};

use crate::{Database, MigrationTrait};

/// A migration of plain SQL, a file of [`embed_migrations!`](crate::embed_migrations!) as a rule.
///
/// The script is sent as it is, all statements of it at once.
#[derive(Debug, Clone)]
pub struct SqlMigration {
    name: &'static str,
    description: &'static str,
    sql: &'static str,
    transactional: bool,
}

impl SqlMigration {
    /// A migration that runs this script, in a transaction if `transactional`; see
    /// [`MigrationTrait::transactional`] for what it means to do without.
    ///
    /// `name` is what the tool calls it that it was written for, and so what it
    /// [`replaces`](MigrationTrait::replaces): `20220101000001_create_users`, `V1__create_users`. A byte order mark at the beginning of
    /// the script is left out, which PostgreSQL would take for a part of the first word.
    #[must_use]
    pub fn new(
        name: &'static str,
        description: &'static str,
        sql: &'static str,
        transactional: bool,
    ) -> Self {
        let sql = sql.strip_prefix('\u{feff}').unwrap_or(sql);
        Self { name, description, sql, transactional }
    }

    pub(crate) fn script(&self) -> &'static str {
        self.sql
    }

    /// The same for the same migration, all over the program.
    #[cfg(feature = "testing")]
    pub(crate) fn identity(&self) -> impl Hash {
        (self.name, self.sql, self.transactional)
    }
}

// For whoever forgot the trait on a migration of their own, the compiler would name this type as an example.
#[diagnostic::do_not_recommend]
#[async_trait]
impl MigrationTrait for SqlMigration {
    fn description(&self) -> &str {
        self.description
    }

    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        db.execute_unprepared(self.sql).await?;
        Ok(())
    }

    fn transactional(&self) -> bool {
        self.transactional
    }

    fn replaces(&self) -> Vec<&str> {
        vec![self.name]
    }
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
/// # What does not compile
///
/// The tools pass over a file whose name they do not know. Here each `.sql` file is a migration or an error, and so are two
/// migrations of one version, files for two of the tools, a down script without its up script, a migration of refinery
/// in Rust, a folder without migrations, and what cannot be read. What is hidden is passed over, and what is not `.sql`.
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
    ($directory:literal $(,)?) => {
        $crate::__private::embed_migrations!($crate $directory)
    };
}
