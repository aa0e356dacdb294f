//! Small migrations in one transaction, and what each of them has changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    sync::LazyLock,
    time::Duration,
};

use async_trait::async_trait;
use sea_orm::{ConnectionTrait, DatabaseBackend, DatabaseTransaction, DbErr, Statement};

use super::{
    ledger::{Facts, Orphans, Seen, more, more_elsewhere},
    session::SqliteSession,
};
use crate::{
    backend::{
        grouping::{Doubt, Grouping, Settled},
        version_row::{Claim, Move},
    },
    driver::words,
    failure::Failure,
};

/// A transaction takes 4 fsyncs, whether of one small migration or of a hundred; one longer than this the app's own
/// writers would notice.
const GATHER: Duration = Duration::from_millis(500);

/// Where each migration begins: a savepoint to go back to, and in it one by which it is known whether the first is still there.
pub(super) const BEGIN: &str = "SAVEPOINT onerow; SAVEPOINT onerow_within";
/// Fails if the migration ended the transaction, and has left nothing to go back to.
const PROVE: &str = "RELEASE onerow_within; SAVEPOINT onerow_within";

/// Fails unless the statement before it changed one row, and gives no row, which would be a message of its own: there is no
/// absolute value of the least integer
/// (<https://sqlite.org/lang_corefunc.html#abs>).
const REFUSE_UNMOVED: &str = "SELECT 1 WHERE abs(-9223372036854775807 - (changes() <> 1)) IS NULL";

/// After so many migrations that only added tables, the new tables are read.
const UNREAD: u32 = 32;

/// What a migration may set for its connection, and what the connection forgets when it is closed. Not the settings of the
/// process (`soft_heap_limit`), and not what shows in speed alone and in no function (`mmap_size`, `wal_autocheckpoint`).
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

/// All of that, the patience with locks, how LIKE compares, and which files are attached, as one text.
static SETTINGS: LazyLock<String> = LazyLock::new(|| {
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

#[async_trait]
impl Grouping for SqliteSession {
    fn gathers_for(&self) -> Option<Duration> {
        Some(GATHER)
    }

    fn is_stale(&self) -> bool {
        self.ledger.is_stale()
    }

    fn spoil(&self) {
        self.ledger.spoil();
    }

    async fn survey(&self, claim: &Claim) -> Result<(), DbErr> {
        let facts = facts(claim.transaction()).await?;
        let tables = tables_since(claim.transaction(), 0).await?;
        let (told, _) = self.ledger.take();
        let mut seen = self.ledger.seen();
        *seen = Seen::of(facts, tables, told, std::mem::take(&mut seen.orphans));
        Ok(())
    }

    async fn stage(&self, claim: &Claim, moved: &Move<'_>) -> Result<(), Failure> {
        stage_if("", claim.transaction(), moved).await
    }

    /// A migration as most are, which leaves no setting behind and adds tables and rows, takes one message.
    async fn settle(
        &self,
        claim: &Claim,
        moved: &Move<'_>,
        doubt: Doubt,
    ) -> Result<Settled, Failure> {
        let (told, written) = self.ledger.take();
        let refusal = {
            let mut seen = self.ledger.seen();
            seen.has_new_children |= doubt.children;
            seen.refusal(told, &written, doubt)
        };
        if !doubt.rows && stage_if(&refusal, claim.transaction(), moved).await.is_ok() {
            self.ledger.take();
            if doubt.schema || doubt.children {
                note_new_tables(self, claim.transaction()).await.map_err(Failure::Commit)?;
            }
            return Ok(Settled::Apart);
        }
        let settled = settle_slowly(self, claim.transaction(), told, &written, doubt).await?;
        if settled == Settled::Apart {
            self.stage(claim, moved).await?;
        }
        self.ledger.take();
        Ok(settled)
    }

    async fn undo(&self, claim: &Claim) -> Result<(), DbErr> {
        claim.transaction().execute_unprepared("ROLLBACK TO onerow").await.map(drop)
    }
}

/// Moves the version, unless this statement fails, and has what comes next begin at a point of its own.
async fn stage_if(
    refusal: &str,
    claim: &DatabaseTransaction,
    moved: &Move<'_>,
) -> Result<(), Failure> {
    let update = moved.update("=");
    // All in one message to the thread of the connection. The version with each migration, for one that commits on its own
    // commits those before it too.
    let message = format!("{refusal}{PROVE}; {update}; {REFUSE_UNMOVED}; RELEASE onerow; {BEGIN}");
    claim.execute_unprepared(&message).await.map(drop).map_err(ended_or_refused)
}

fn ended_or_refused(error: DbErr) -> Failure {
    let words = words(&error);
    let ended = words.starts_with("no such savepoint") || words.starts_with("integer overflow");
    if ended { Failure::EndedTransaction } else { Failure::Commit(error) }
}

/// Finds out what the migration has changed; notes what it leaves in the session; undoes it if rows lack their parent.
async fn settle_slowly(
    session: &SqliteSession,
    claim: &DatabaseTransaction,
    told: i64,
    written: &BTreeSet<String>,
    doubt: Doubt,
) -> Result<Settled, Failure> {
    claim.execute_unprepared(PROVE).await.map_err(ended_or_refused)?;
    let facts = facts(claim).await.map_err(Failure::Commit)?;
    let before = session.ledger.seen().clone();
    if facts.settings != before.facts.settings || has_temporary(claim, &facts).await {
        session.ledger.spoil();
    }
    let tables = tables_since(claim, 0).await.map_err(Failure::Commit)?;
    let mut changed = before.differing(&tables);
    changed.extend(written.iter().cloned());
    let only_rows = facts.schema_version == before.facts.schema_version;
    let mut seen = Seen::of(facts, tables, told, before.orphans);
    if !only_rows {
        changed.extend(remade(claim, &seen).await);
    }
    let all = doubt.rows
        || seen.untold != before.untold
        || written.iter().any(|table| is_internal(table));
    let children = if all { seen.all_children() } else { seen.children_of(&changed) };

    let (mut after, _) = orphans(claim, &children).await;
    let settled = if more(&seen.orphans, &after).is_none()
        || !more_elsewhere(&seen.orphans, &after, |table| seen.has(table))
    {
        seen.forget_gone();
        Settled::Apart
    } else {
        // As many may have lacked their parent before. It is undone, so that they can be counted.
        claim.execute_unprepared("ROLLBACK TO onerow").await.map_err(Failure::Commit)?;
        let former = tables_since(claim, 0).await.map_err(Failure::Commit)?;
        let dropped: BTreeSet<_> = former.into_keys().filter(|table| !seen.has(table)).collect();
        let (mut before, unknown) = orphans(claim, &children).await;
        before.extend(orphans(claim, &dropped).await.0);
        let (untellable, told): (Orphans, Orphans) =
            after.into_iter().partition(|((child, _), _)| unknown.contains(child));
        if let Some(failure) = more(&before, &told)
            && more_elsewhere(&before, &told, |table| seen.has(table))
        {
            return Err(failure);
        }
        after = before;
        after.extend(untellable);
        // It may find what it set before.
        session.ledger.spoil();
        Settled::Undone
    };
    seen.keep(&children, after);
    *session.ledger.seen() = seen;
    Ok(settled)
}

/// The parents that may have been dropped and made again by the same words: those are empty since, or their rows were told
/// of, or come from the query that made them.
async fn remade(claim: &DatabaseTransaction, seen: &Seen) -> Vec<String> {
    let mut remade = Vec::new();
    for parent in seen.parents() {
        let rows = format!("EXISTS (SELECT 1 FROM main.\"{}\")", parent.replace('"', "\"\""));
        if !seen.has_own_key(&parent)
            || claim.execute_unprepared(&refuse_if(&format!("NOT {rows}"))).await.is_err()
        {
            remade.push(parent);
        }
    }
    remade
}

/// Reads the tables that were added, now and then: each look is a message of its own.
async fn note_new_tables(
    session: &SqliteSession,
    claim: &DatabaseTransaction,
) -> Result<(), DbErr> {
    let newest = {
        let mut seen = session.ledger.seen();
        seen.unread += 1;
        if seen.unread < UNREAD {
            return Ok(());
        }
        seen.facts.newest
    };
    let facts = facts(claim).await?;
    let tables = tables_since(claim, newest).await?;
    let mut seen = session.ledger.seen();
    seen.add(tables);
    seen.facts = facts;
    (seen.unread, seen.has_new_children) = (0, false);
    Ok(())
}

async fn facts(claim: &DatabaseTransaction) -> Result<Facts, DbErr> {
    let sql = format!(
        "SELECT total_changes(), (SELECT schema_version FROM pragma_schema_version),
                (SELECT ifnull(max(rowid), 0) FROM main.sqlite_schema), {},
                (SELECT count(*) FROM pragma_database_list),
                EXISTS (SELECT 1 FROM pragma_database_list WHERE seq = 1)",
        *SETTINGS
    );
    let row = claim.query_one_raw(Statement::from_string(DatabaseBackend::Sqlite, sql)).await?;
    let row = row.ok_or_else(|| DbErr::RecordNotFound("what SQLite says of a session".into()))?;
    Ok(Facts {
        changes: row.try_get_by_index(0)?,
        schema_version: row.try_get_by_index(1)?,
        newest: row.try_get_by_index(2)?,
        settings: row.try_get_by_index(3)?,
        databases: row.try_get_by_index(4)?,
        temporary: row.try_get_by_index(5)?,
    })
}

/// The tables that were made after this row of the schema.
async fn tables_since(
    claim: &DatabaseTransaction,
    row: i64,
) -> Result<BTreeMap<String, String>, DbErr> {
    let sql = "SELECT name, sql FROM main.sqlite_schema WHERE type = 'table' AND rowid > ? AND sql IS NOT NULL";
    let look = Statement::from_sql_and_values(DatabaseBackend::Sqlite, sql, [row.into()]);
    let rows = claim.query_all_raw(look).await?;
    rows.iter().map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?))).collect()
}

/// Whether there are temporary tables. The question makes a database for them, and with that fixes where it is.
async fn has_temporary(claim: &DatabaseTransaction, facts: &Facts) -> bool {
    facts.temporary && claim.execute_unprepared(&refuse_if(HAS_TEMPORARY)).await.is_err()
}

const HAS_TEMPORARY: &str = "EXISTS (SELECT 1 FROM temp.sqlite_schema)";

/// SQLite's own tables, which only a migration writes to that knows what it does.
fn is_internal(table: &str) -> bool {
    table.starts_with("sqlite_")
}

fn refuse_if(condition: &str) -> String {
    format!("SELECT 1 WHERE abs(-9223372036854775807 - ({condition})) IS NULL; ")
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The rows of these tables that lack their parent, and which tables cannot be told of: a foreign key may refer to what is not
/// unique, which the migration at hand may be the one to mend.
async fn orphans(
    claim: &DatabaseTransaction,
    children: &BTreeSet<String>,
) -> (Orphans, BTreeSet<String>) {
    let mut found = (Orphans::new(), BTreeSet::new());
    for child in children {
        match orphans_of(claim, child).await {
            Ok(orphans) => found.0.extend(orphans),
            Err(error) if words(&error).starts_with("foreign key mismatch") => {
                found.1.insert(child.clone());
            }
            // There was no such table yet.
            Err(_) => (),
        }
    }
    found
}

async fn orphans_of(claim: &DatabaseTransaction, child: &str) -> Result<Orphans, DbErr> {
    let sql = "SELECT parent, count(*) FROM pragma_foreign_key_check(?, 'main') GROUP BY parent";
    let look = Statement::from_sql_and_values(DatabaseBackend::Sqlite, sql, [child.into()]);
    let rows = claim.query_all_raw(look).await?;
    let key = |parent| (child.to_owned(), parent);
    let counted = rows.iter().map(|row| {
        let rows: i64 = row.try_get_by_index(1)?;
        Ok((key(row.try_get_by_index(0)?), usize::try_from(rows).unwrap_or(usize::MAX)))
    });
    counted.collect()
}

impl Seen {
    /// A statement that fails unless all that a migration did is to add to the schema, and to write rows that it told of and
    /// that all have their parents.
    fn refusal(&self, told: i64, written: &BTreeSet<String>, doubt: Doubt) -> String {
        let mut conditions = vec![format!("total_changes() <> {}", told + self.untold)];
        // Each of the two takes a fifth of the time of a small migration.
        if doubt.schema {
            conditions.extend(self.schema_differs());
        }
        if doubt.settings {
            conditions.push(format!("{} <> {}", *SETTINGS, quoted(&self.facts.settings)));
        }
        if written.iter().any(|table| is_internal(table)) {
            conditions.push("1".into());
        }
        if !written.is_empty() {
            conditions.extend(self.lacks_parents(written));
        }
        refuse_if(&conditions.join(" OR "))
    }

    /// Whether anything was altered, dropped or attached, or is temporary.
    fn schema_differs(&self) -> Vec<String> {
        let Facts { schema_version, newest, databases, temporary, .. } = &self.facts;
        // The schema's version moves by one with each statement that changes it. If it moved no further than there are new rows,
        // each statement has added one.
        let differs = format!(
            "(SELECT count(*) FROM pragma_database_list) <> {databases}
             OR (SELECT schema_version FROM pragma_schema_version) <> {schema_version} + (
                 SELECT count(*) FROM main.sqlite_schema
                 WHERE rowid > {newest} AND substr(name, 1, 7) <> 'sqlite_')",
        );
        std::iter::once(differs).chain(temporary.then(|| HAS_TEMPORARY.into())).collect()
    }

    /// Whether a row lacks its parent in the tables that these may concern, or in a new one.
    fn lacks_parents(&self, written: &BTreeSet<String>) -> Vec<String> {
        let check = |table: &str| format!("pragma_foreign_key_check({table}, 'main')");
        let children = self.children_of(written);
        let known = children
            .iter()
            .map(|child| format!("EXISTS (SELECT 1 FROM {})", check(&quoted(child))));
        let new = format!(
            "EXISTS (SELECT 1 FROM main.sqlite_schema s, {}
                     WHERE s.rowid > {} AND s.type = 'table' AND s.sql LIKE '%references%')",
            check("s.name"),
            self.facts.newest
        );
        known.chain(self.has_new_children.then_some(new)).collect()
    }
}
