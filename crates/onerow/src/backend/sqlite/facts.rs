//! Facts that SQLite tells of a session and its database.

use std::{collections::BTreeMap, fmt::Write, sync::LazyLock};

use sea_orm::{ConnectionTrait, DatabaseBackend, DatabaseTransaction, DbErr, Statement};

use super::{refuse_if, rows};

/// The settings that a migration may make for its connection, and that go with the connection.
///
/// Settings of the process are not among them (`soft_heap_limit`). Nor are those that change only
/// speed, and that no function reads (`mmap_size`, `wal_autocheckpoint`).
const PRAGMAS: [&str; 27] = [
    "analysis_limit",
    "automatic_index",
    "cache_size",
    "cache_spill",
    "cell_size_check",
    "checkpoint_fullfsync",
    "count_changes",
    "defer_foreign_keys",
    "empty_result_callbacks",
    "foreign_keys",
    "full_column_names",
    "fullfsync",
    "ignore_check_constraints",
    "journal_size_limit",
    "legacy_alter_table",
    "locking_mode",
    "max_page_count",
    "query_only",
    "read_uncommitted",
    "recursive_triggers",
    "reverse_unordered_selects",
    "secure_delete",
    "short_column_names",
    "synchronous",
    "temp_store",
    "trusted_schema",
    "writable_schema",
];

/// The SQL that gives these settings as one text, with the busy timeout, the way LIKE compares, and
/// the attached files.
pub(super) static SETTINGS: LazyLock<String> = LazyLock::new(|| {
    let mut settings = String::from("(SELECT 'a' LIKE 'A')");
    for pragma in PRAGMAS {
        let _ = write!(settings, " || ' ' || (SELECT {pragma} FROM pragma_{pragma})");
    }
    settings.push_str(" || ' ' || (SELECT timeout FROM pragma_busy_timeout)");
    settings.push_str(
        " || ' ' || (SELECT group_concat(name) FROM pragma_database_list WHERE seq <> 1)",
    );
    settings
});

/// The condition that there are temporary tables.
pub(super) const HAS_TEMPORARY: &str = "EXISTS (SELECT 1 FROM temp.sqlite_schema)";

/// The facts about a session and its database.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    /// How many rows the connection has changed.
    pub(super) changes: i64,
    /// The version of the schema. Each statement that changes the schema moves it by one.
    pub(super) schema_version: i64,
    /// The newest row of the schema.
    pub(super) newest: i64,
    /// The settings that belong to the connection, and not to the database.
    pub(super) settings: String,
    /// How many databases the connection has, its own and the attached ones.
    pub(super) databases: i64,
    /// Whether there is a database for temporary tables. A rename makes an empty one.
    pub(super) temporary: bool,
}

impl Facts {
    pub(super) async fn of(claim: &DatabaseTransaction) -> Result<Self, DbErr> {
        let sql = format!(
            "SELECT total_changes(), (SELECT schema_version FROM pragma_schema_version),
                    (SELECT ifnull(max(rowid), 0) FROM main.sqlite_schema), {},
                    (SELECT count(*) FROM pragma_database_list),
                    EXISTS (SELECT 1 FROM pragma_database_list WHERE seq = 1)",
            *SETTINGS
        );
        let row = claim.query_one_raw(Statement::from_string(DatabaseBackend::Sqlite, sql)).await?;
        let row = row.ok_or_else(|| DbErr::RecordNotFound("the facts about a session".into()))?;
        Ok(Self {
            changes: row.try_get_by_index(0)?,
            schema_version: row.try_get_by_index(1)?,
            newest: row.try_get_by_index(2)?,
            settings: row.try_get_by_index(3)?,
            databases: row.try_get_by_index(4)?,
            temporary: row.try_get_by_index(5)?,
        })
    }

    /// Whether there are temporary tables. It asks only if there is a database for them: the
    /// question would make that database, and so fix its place.
    pub(super) async fn has_temporary(&self, claim: &DatabaseTransaction) -> bool {
        self.temporary && claim.execute_unprepared(&refuse_if(HAS_TEMPORARY)).await.is_err()
    }
}

/// The tables that were made after this row of the schema, with their `CREATE` statements.
pub(super) async fn tables_since(
    claim: &DatabaseTransaction,
    row: i64,
) -> Result<BTreeMap<String, String>, DbErr> {
    let sql = "SELECT name, sql FROM main.sqlite_schema \
               WHERE type = 'table' AND rowid > ? AND sql IS NOT NULL";
    let rows = rows(claim, sql, row).await?;
    rows.iter().map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?))).collect()
}
