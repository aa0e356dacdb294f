//! SQLite.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs::{File, OpenOptions},
    io,
    path::Path,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use sea_orm::{
    ConnectOptions, ConnectionTrait, DatabaseBackend, DatabaseConnection, DatabaseTransaction, DbErr,
    SqliteTransactionMode, SqlxSqliteConnector, Statement, TransactionOptions, TransactionTrait,
    sqlx::{
        self, AssertSqlSafe, Connection, Executor, Row, SqliteConnection, SqlitePool,
        sqlite::SqliteConnectOptions,
    },
};
use tracing::{instrument::WithSubscriber, subscriber::NoSubscriber};

use super::{
    Activity, Backend, Doubt, Fault, Mistrust, Move, Session, Settings, Settled, Start, VersionRow, abandon,
    connect_error,
    ledger::{Facts, Ledger, Orphans, Seen, more, more_elsewhere},
    url,
};
use crate::driver::{code, error_of, query_error};
use crate::{Error, ErrorKind, Failure, ServerSession, driver::words, index::CreateIndex, table::Table};

pub(super) struct Sqlite;

const NO_JOURNAL: &str = "journal_mode is OFF for this connection, so SQLite could not roll back a migration \
    that fails; nothing was changed";

/// A transaction takes 4 fsyncs, whether of one small migration or of a hundred; one longer than this the app's own
/// writers would notice.
const GATHER: Duration = Duration::from_millis(500);

/// Behind the name of the database's file: what stands for the row of a registry.
pub(super) const LOCK_FILE: &str = "-onerow-lock";

/// After how many of its instructions SQLite looks whether it was interrupted; a `ROLLBACK` has fewer.
const INSTRUCTIONS: i32 = 10_000;

/// Where each migration begins: a savepoint to go back to, and in it one by which it is known whether the first is still there.
const BEGIN: &str = "SAVEPOINT onerow; SAVEPOINT onerow_within";
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
    settings.push_str(" || ' ' || (SELECT group_concat(name) FROM pragma_database_list WHERE seq <> 1)");
    settings
});

#[async_trait]
impl Backend for Sqlite {
    async fn connect(&self, mut options: ConnectOptions) -> Result<DatabaseConnection, Error> {
        let parsed = url::sqlite(options.get_url())?;
        let file = parsed.get_filename();
        let storage = Storage::of(options.get_url());
        match storage {
            Storage::File => (),
            // The database is gone with its last connection.
            Storage::Memory | Storage::Unshared => drop(options.idle_timeout(None).max_lifetime(None)),
            Storage::Private => return Err(private()),
        }
        let lazy = options.get_connect_lazy();
        // Unheard, as its span holds the options, and with them the key of an encrypted file.
        let connected = SqlxSqliteConnector::connect(options).with_subscriber(NoSubscriber::default()).await;
        let failed =
            |error| connect_error(self.fault(&error), file.display().to_string(), in_folder(file, error));
        let connected = connected.map_err(failed)?;
        if !matches!(storage, Storage::Unshared) {
            return Ok(connected);
        }
        let shared = share(connected.get_sqlite_connection_pool(), lazy).await;
        shared.map(DatabaseConnection::from).map_err(query_error).map_err(failed)
    }

    fn fault(&self, error: &DbErr) -> Fault {
        let Some(error) = error_of(error) else {
            return Fault::Other;
        };
        let message = error.as_database_error().map_or("", |error| error.message());
        let Some(extended) = code(error).and_then(|code| code.parse::<u32>().ok()) else {
            return Fault::Other;
        };
        // https://sqlite.org/rescode.html: the primary code is the low byte of the extended.
        match (extended, extended & 0xff) {
            (1299, _) => Fault::NotNull,
            (_, 1) if message.starts_with("no such table") => Fault::NoTable,
            (_, 1) if message.starts_with("no such column") => Fault::NoColumn,
            // Of its own statements, which it would wait for in vain.
            (6, _) => Fault::Other,
            (_, 5 | 6) => Fault::Held,
            (_, 8) => Fault::ReadOnly,
            (_, 3 | 23) => Fault::Denied,
            (_, 14) => Fault::NoDatabase,
            _ => Fault::Other,
        }
    }

    async fn fetch_texts(&self, pool: &DatabaseConnection, sql: &str) -> Result<Vec<Option<String>>, DbErr> {
        let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(pool.get_sqlite_connection_pool()).await;
        let texts = rows.and_then(|rows| rows.iter().map(|row| row.try_get_unchecked(0)).collect());
        texts.map_err(query_error)
    }

    async fn read_row(
        &self,
        pool: &DatabaseConnection,
        table: &Table,
    ) -> Result<Result<VersionRow, DbErr>, Error> {
        let read = self.fetch_texts(pool, &format!("SELECT version FROM {}", table.sql())).await;
        Ok(read.map(|rows| VersionRow { rows, ..VersionRow::default() }))
    }

    async fn examine(
        &self,
        _: &DatabaseConnection,
        _: &Table,
    ) -> Result<(Option<String>, Option<Mistrust>), DbErr> {
        Ok((None, None))
    }

    async fn release_idle(&self, _: &DatabaseConnection) {}

    async fn release(&self, _: &Session) {}

    async fn make_ready(&self, _: &Session) -> Result<(), Error> {
        Ok(())
    }

    async fn dedicate(
        &self,
        pool: &DatabaseConnection,
        _: &str,
        interrupt: Arc<AtomicBool>,
    ) -> Result<Session, Error> {
        let failed = |error| Error::cannot_reach(query_error(error));
        let pool = pool.get_sqlite_connection_pool();
        let options = SqliteConnectOptions::clone(&pool.connect_options());
        let pool = pool.options().clone();
        let pool = pool.min_connections(0).max_connections(1).idle_timeout(None).max_lifetime(None);
        let pool = pool.test_before_acquire(false).connect_lazy_with(options.statement_cache_capacity(0));
        let (asked, ledger) = (Arc::clone(&interrupt), Arc::<Ledger>::default());
        let heard = Arc::clone(&ledger);
        let mut connection = pool.acquire().await.map_err(failed)?;
        let mut handle = connection.lock_handle().await.map_err(failed)?;
        handle.set_progress_handler(INSTRUCTIONS, move || !asked.load(Ordering::Relaxed));
        handle.set_update_hook(move |row| heard.write(row.database, row.table));
        drop(handle);
        drop(connection);
        Ok(Session {
            backend: &Self,
            pool: pool.into(),
            server_version: 0,
            start: Start::default(),
            interrupt,
            ledger,
        })
    }

    async fn admit(&self, session: &Session) -> Result<(), Error> {
        let failed = |error| Error::cannot_reach(query_error(error));
        let pool = session.pool.get_sqlite_connection_pool();
        let look =
            "SELECT journal_mode, file FROM pragma_journal_mode, pragma_database_list WHERE name = 'main'";
        let (journal, file): (String, Option<String>) =
            sqlx::query_as(look).fetch_one(pool).await.map_err(failed)?;
        if journal == "off" {
            return Err(Error::new(ErrorKind::NoJournal, NO_JOURNAL));
        }
        if file.is_some_and(|file| !file.is_empty()) || is_shared(pool).await.map_err(failed)? {
            return Ok(());
        }
        Err(private())
    }

    async fn prepare_worker(&self, _: &Session) -> Result<(), DbErr> {
        Ok(())
    }

    async fn create_index(&self, pool: &DatabaseConnection, index: &CreateIndex<'_>) -> Result<(), DbErr> {
        let (name, table, definition) = (index.name, index.table, index.definition(false));
        let create = format!("CREATE {} IF NOT EXISTS {name} ON {table} {definition}", index.kind());
        pool.execute_unprepared(&create).await.map(drop)
    }

    async fn columns(&self, transaction: &DatabaseTransaction, table: &Table) -> Result<Vec<String>, DbErr> {
        let sql = "SELECT name FROM pragma_table_info(?)";
        let look = Statement::from_sql_and_values(DatabaseBackend::Sqlite, sql, [table.name().into()]);
        let rows = transaction.query_all_raw(look).await?;
        rows.iter().map(|row| row.try_get_by_index(0)).collect()
    }

    async fn schema_of(&self, _: &DatabaseTransaction, _: &Table) -> Result<Option<String>, DbErr> {
        Ok(None)
    }

    async fn begin_reading(&self, session: &Session) -> Result<DatabaseTransaction, DbErr> {
        session.pool.begin().await
    }

    /// The transaction does that by itself.
    async fn lock_out_writers(&self, _: &DatabaseTransaction, _: &Table) -> Result<(), DbErr> {
        Ok(())
    }

    fn create_schema(&self, _: &Table) -> String {
        String::new()
    }

    async fn begin(&self, session: &Session) -> Result<DatabaseTransaction, DbErr> {
        // IMMEDIATE takes the write lock now: a transaction that reads first, and writes after somebody else has
        // written, can never go on.
        let immediate = Some(SqliteTransactionMode::Immediate);
        let options = TransactionOptions { sqlite_transaction_mode: immediate, ..Default::default() };
        session.pool.begin_with_options(options).await
    }

    async fn create_row(
        &self,
        session: &Session,
        _: &Table,
        statements: &str,
        _: Option<&Settings>,
    ) -> Result<Option<DatabaseTransaction>, DbErr> {
        let transaction = self.begin(session).await?;
        transaction.execute_unprepared(statements).await?;
        transaction.commit().await.map(|()| None)
    }

    async fn begin_with_row(
        &self,
        session: &Session,
        table: &Table,
        version: i32,
        settings: &Settings,
    ) -> Result<Option<DatabaseTransaction>, DbErr> {
        // Foreign keys before `BEGIN`, since SQLite ignores it inside a transaction; and off, since rebuilding a parent
        // table deletes its children otherwise (https://sqlite.org/lang_altertable.html#otheralter).
        session.pool.execute_unprepared("PRAGMA foreign_keys = OFF; PRAGMA busy_timeout = 0").await?;
        let transaction = self.begin(session).await?;
        // Not a SELECT: on a read-only database `BEGIN IMMEDIATE` succeeds, and only a write is refused.
        let touch = format!("UPDATE {} SET version = version WHERE version = {version}", table.sql());
        if transaction.execute_unprepared(&touch).await?.rows_affected() == 0 {
            transaction.rollback().await?;
            return Ok(None);
        }
        // From here on it is the commit that may have to wait, for readers.
        let milliseconds = match settings.lock_timeout_milliseconds() {
            0 => i32::MAX,
            milliseconds => milliseconds,
        };
        transaction.execute_unprepared(&format!("PRAGMA busy_timeout = {milliseconds}; {BEGIN}")).await?;
        Ok(Some(transaction))
    }

    async fn stage(&self, claim: &DatabaseTransaction, moved: &Move<'_>) -> Result<(), Failure> {
        stage_if("", claim, moved).await
    }

    async fn survey(&self, session: &Session, claim: &DatabaseTransaction) -> Result<(), DbErr> {
        let facts = facts(claim).await?;
        let tables = tables_since(claim, 0).await?;
        let (told, _) = session.ledger.take();
        let mut seen = session.ledger.seen();
        *seen = Seen::of(facts, tables, told, std::mem::take(&mut seen.orphans));
        Ok(())
    }

    /// A migration as most are, which leaves no setting behind and adds tables and rows, takes one message.
    async fn settle(
        &self,
        session: &Session,
        claim: &DatabaseTransaction,
        moved: &Move<'_>,
        doubt: Doubt,
    ) -> Result<Settled, Failure> {
        let (told, written) = session.ledger.take();
        let refusal = {
            let mut seen = session.ledger.seen();
            seen.has_new_children |= doubt.children;
            seen.refusal(told, &written, doubt)
        };
        if !doubt.rows && stage_if(&refusal, claim, moved).await.is_ok() {
            session.ledger.take();
            if doubt.schema || doubt.children {
                note_new_tables(session, claim).await.map_err(Failure::Commit)?;
            }
            return Ok(Settled::Apart);
        }
        let settled = settle_slowly(session, claim, told, &written, doubt).await?;
        if settled == Settled::Apart {
            self.stage(claim, moved).await?;
        }
        session.ledger.take();
        Ok(settled)
    }

    async fn undo(&self, claim: &DatabaseTransaction) -> Result<(), DbErr> {
        claim.execute_unprepared("ROLLBACK TO onerow").await.map(drop)
    }

    async fn commit(
        &self,
        _: &Session,
        claim: DatabaseTransaction,
        _: &Move<'_>,
        _: Option<&Settings>,
    ) -> Result<Option<DatabaseTransaction>, Failure> {
        // `BEGIN`, which locks nothing, for SeaORM to end.
        if let Err(error) = claim.execute_unprepared("COMMIT; BEGIN").await {
            abandon(claim).await;
            return Err(Failure::Commit(error));
        }
        Ok(None)
    }

    fn gather(&self) -> Option<Duration> {
        Some(GATHER)
    }

    fn row_excludes_writers(&self) -> bool {
        true
    }

    /// The write lock is SQLite's only one, and the migration needs it, so a file beside the database is locked: the
    /// system lets go of it when the process ends, however it ends.
    fn lock_file(&self, pool: &DatabaseConnection, label: &str) -> io::Result<Option<File>> {
        let options = pool.get_sqlite_connection_pool().connect_options();
        // By its real name, which is the same whatever link leads to it.
        let Ok(path) = options.get_filename().canonicalize() else {
            // In memory, where no other process comes.
            return Ok(None);
        };
        let mut path = path.into_os_string();
        path.push(LOCK_FILE);
        if !label.is_empty() {
            path.push("-");
            path.push(label);
        }
        // Not the database's own file: closing it would drop SQLite's locks on it, all over the process
        // (https://sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_).
        OpenOptions::new().create(true).write(true).truncate(false).open(path).map(Some)
    }

    async fn holder(&self, _: &Session, _: &Table) -> Option<ServerSession> {
        None
    }

    async fn activity(&self, _: &Session, _: &str, _: i32) -> Result<Activity, DbErr> {
        Ok(Activity { sessions: 1, ..Activity::default() })
    }

    async fn others_at_work(
        &self,
        _: &Session,
        _: &str,
        _: &str,
        _: &Table,
    ) -> Result<Vec<ServerSession>, DbErr> {
        Ok(Vec::new())
    }

    async fn cancel(&self, monitor: &Session, _: &str) -> Result<(), DbErr> {
        monitor.interrupt.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// No session of SQLite's waits for anything from outside.
    async fn terminate(&self, _: &Session, _: &str) -> Result<(), DbErr> {
        Ok(())
    }
}

/// Moves the version, unless this statement fails, and has what comes next begin at a point of its own.
async fn stage_if(refusal: &str, claim: &DatabaseTransaction, moved: &Move<'_>) -> Result<(), Failure> {
    let Move { table, from, to, .. } = moved;
    // All in one message to the thread of the connection. The version with each migration, for one that commits on its own
    // commits those before it too.
    let message = format!(
        "{refusal}{PROVE}; UPDATE {} SET version = {to} WHERE version = {from}; {REFUSE_UNMOVED}; RELEASE onerow; {BEGIN}",
        table.sql()
    );
    claim.execute_unprepared(&message).await.map(drop).map_err(ended_or_refused)
}

fn ended_or_refused(error: DbErr) -> Failure {
    let words = words(&error);
    let ended = words.starts_with("no such savepoint") || words.starts_with("integer overflow");
    if ended { Failure::EndedTransaction } else { Failure::Commit(error) }
}

/// Finds out what the migration has changed; notes what it leaves in the session; undoes it if rows lack their parent.
async fn settle_slowly(
    session: &Session,
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
    let all = doubt.rows || seen.untold != before.untold || written.iter().any(|table| is_internal(table));
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
async fn note_new_tables(session: &Session, claim: &DatabaseTransaction) -> Result<(), DbErr> {
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
async fn tables_since(claim: &DatabaseTransaction, row: i64) -> Result<BTreeMap<String, String>, DbErr> {
    let sql =
        "SELECT name, sql FROM main.sqlite_schema WHERE type = 'table' AND rowid > ? AND sql IS NOT NULL";
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
async fn orphans(claim: &DatabaseTransaction, children: &BTreeSet<String>) -> (Orphans, BTreeSet<String>) {
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
        let known = children.iter().map(|child| format!("EXISTS (SELECT 1 FROM {})", check(&quoted(child))));
        let new = format!(
            "EXISTS (SELECT 1 FROM main.sqlite_schema s, {}
                     WHERE s.rowid > {} AND s.type = 'table' AND s.sql LIKE '%references%')",
            check("s.name"),
            self.facts.newest
        );
        known.chain(self.has_new_children.then_some(new)).collect()
    }
}

/// A pool like this one whose connections open the same database in memory: by its name, which only counts as one in a URI
/// (<https://sqlite.org/inmemorydb.html>).
async fn share(private: &SqlitePool, lazy: bool) -> Result<SqlitePool, sqlx::Error> {
    let options = SqliteConnectOptions::clone(&private.connect_options());
    let name = options.get_filename().to_string_lossy().replace('%', "%25").replace('?', "%3f");
    let options = options.filename(format!("file:{}", name.replace('#', "%23")));
    let pool = private.options().clone();
    private.close().await;
    if lazy { Ok(pool.connect_lazy_with(options)) } else { pool.connect_with(options).await }
}

/// Whether another connection of the same options sees the same database: it sees a change that is not committed.
async fn is_shared(pool: &SqlitePool) -> Result<bool, sqlx::Error> {
    let options = SqliteConnectOptions::clone(&pool.connect_options());
    let mut other = SqliteConnection::connect_with(&options.pragma("read_uncommitted", "ON")).await?;
    let version = "SELECT user_version FROM pragma_user_version";
    let before: i32 = sqlx::query_scalar(version).fetch_one(&mut other).await?;
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    let change = format!("PRAGMA user_version = {}", before.wrapping_add(1));
    transaction.execute(AssertSqlSafe(change)).await?;
    let after: i32 = sqlx::query_scalar(version).fetch_one(&mut other).await?;
    transaction.rollback().await?;
    other.close().await?;
    Ok(after != before)
}

fn private() -> Error {
    let reason = "each connection to it would get an empty database of its own";
    url::invalid(reason)
}

/// The error, or that there is no such folder.
fn in_folder(file: &Path, error: DbErr) -> DbErr {
    match file.parent() {
        Some(folder) if folder != Path::new("") && !folder.exists() => {
            DbErr::Custom(format!("there is no folder {}", folder.display()))
        }
        _ => error,
    }
}

/// Where the database of a URL is.
pub(super) enum Storage {
    File,
    Memory,
    /// In memory, under a name that each connection takes for another's.
    Unshared,
    /// In each connection.
    Private,
}

impl Storage {
    pub(super) fn of(url: &str) -> Self {
        let (path, parameters) = url.split_once('?').unwrap_or((url, ""));
        let has = |parameter: &str| parameters.split('&').any(|one| one == parameter);
        let name = path.trim_start_matches("sqlite:").trim_start_matches("//");
        let named = !matches!(name, "" | "file:");
        match name == ":memory:" || has("mode=memory") {
            true if has("cache=private") || !named => Self::Private,
            true if name == ":memory:" || name.starts_with("file:") => Self::Memory,
            true => Self::Unshared,
            false if name == "file::memory:" && !has("cache=shared") => Self::Private,
            false if !named => Self::Private,
            false => Self::File,
        }
    }
}
