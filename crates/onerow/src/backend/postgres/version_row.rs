//! The version row on PostgreSQL. Each message is a round trip, so there are few.

use async_trait::async_trait;
use onerow_sql::{quoted_literal, quoted_name};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, TransactionTrait,
    sqlx::{self, AssertSqlSafe, Row, postgres::PgRow},
};

use super::{
    Postgres, engine, fault,
    reaching::ask,
    rows,
    session::{BRIEFLY, CHECKS_CLIENT, LIMITS_TRANSACTIONS, MARK, PostgresSession},
    set_config,
    trust::{self, examine},
};
use crate::{
    backend::{
        connecting::Connect,
        fault::Fault,
        session::Session,
        version_row::{Claim, Mistrust, Move, NONE, ReadRow, Rows, Settings, VersionRow},
    },
    driver::{code, query_error, words},
    error::Error,
    failure::Failure,
    table::TableName,
};

/// The server's answers to a request for a sample of a view.
const NOT_A_TABLE: [&str; 2] = ["0A000", "42809"];

/// A text that the server is made to take for a number, and refuses with these words.
const ENDED: &str = "onerow: the migration ended its transaction, or changed the version row";

#[async_trait]
impl ReadRow for Postgres {
    async fn read_row(
        &self,
        pool: &DatabaseConnection,
        table: &TableName,
    ) -> Result<Result<Rows, DbErr>, Error> {
        match self.try_to_read(pool, table).await? {
            Err(error) if self.fault(&error) == Fault::Other => {
                engine::blamed(pool.get_postgres_connection_pool(), error).await.map(Err)
            }
            read => Ok(read),
        }
    }

    async fn hides_rows(&self, pool: &DatabaseConnection, table: &TableName) -> bool {
        let sql = format!(
            "SELECT pg_catalog.row_security_active(pg_catalog.to_regclass({}))",
            quoted_literal(&table.sql())
        );
        let found = rows(pool, &sql).await.unwrap_or_default();
        found.first().is_some_and(|row| is_true(row, 0))
    }
}

impl Postgres {
    async fn try_to_read(
        &self,
        pool: &DatabaseConnection,
        table: &TableName,
    ) -> Result<Result<Rows, DbErr>, Error> {
        let rows = match ask(pool.get_postgres_connection_pool(), &read_row(table, true)).await? {
            Ok(rows) if !rows.is_empty() && rows.iter().all(is_plain) => {
                return Ok(Ok(Rows { versions: versions(&rows), mistrust: None }));
            }
            Ok(rows) => versions(&rows),
            // The server answers so if the role has `row_security = off`.
            Err(error) if fault(&error) == Fault::Denied && self.hides_rows(pool, table).await => {
                return Ok(Ok(Rows { mistrust: Some(Mistrust::Hidden), ..Rows::default() }));
            }
            // It is not a table.
            Err(error) if code(&error).is_some_and(|code| NOT_A_TABLE.contains(&&*code)) => {
                Vec::new()
            }
            Err(error) => return Ok(Err(query_error(error))),
        };
        Ok(read_closely(pool, table, rows).await)
    }
}

/// Examines a table that is not plain or shows no row, and reads its row if that is safe.
async fn read_closely(
    pool: &DatabaseConnection,
    table: &TableName,
    rows: Vec<Option<String>>,
) -> Result<Rows, DbErr> {
    let (_, mistrust) = examine(pool, table).await?;
    if !rows.is_empty() || mistrust.is_some() {
        return Ok(Rows { versions: rows, mistrust });
    }
    // The owner is trusted, so row-level security may run, and may show the row.
    let answer = sqlx::raw_sql(AssertSqlSafe(read_row(table, false)));
    let answer =
        answer.fetch_all(pool.get_postgres_connection_pool()).await.map_err(query_error)?;
    let hidden = answer.is_empty() && Postgres.hides_rows(pool, table).await;
    Ok(Rows { versions: versions(&answer), mistrust: hidden.then_some(Mistrust::Hidden) })
}

/// Reads the row, and whether the table is plain. This is the one statement of a run that has
/// nothing to do.
///
/// Reading a view would run its owner's functions with the reader's rights. So the statement asks
/// for a sample of all rows, which only a table gives. For the same reason a `guarded` statement
/// reads nothing if row-level security applies, until its owner is known.
///
/// It looks at few catalogs, because each one costs. [`examine`] looks at the others.
fn read_row(table: &TableName, guarded: bool) -> String {
    let (name, literal) = (table.sql(), quoted_literal(&table.sql()));
    let guard =
        format!(" WHERE NOT pg_catalog.row_security_active({literal}::pg_catalog.regclass)");
    let guard = if guarded { guard } else { String::new() };
    format!(
        "SELECT v.version, NOT c.relhasrules \
         AND (pg_catalog.current_setting('is_superuser') OPERATOR(pg_catalog.<>) 'on' \
         OR pg_catalog.pg_get_userbyid(c.relowner) OPERATOR(pg_catalog.=) current_user) \
         FROM {name} v TABLESAMPLE pg_catalog.system(100) \
         JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) {literal}::pg_catalog.regclass \
         AND c.relkind OPERATOR(pg_catalog.=) 'r'{guard}"
    )
}

/// Whether the row tells that its table needs no examination.
fn is_plain(row: &PgRow) -> bool {
    is_true(row, 1)
}

fn is_true(row: &PgRow, column: usize) -> bool {
    row.try_get_unchecked::<String, _>(column).is_ok_and(|text| text == "t")
}

fn versions(rows: &[PgRow]) -> Vec<Option<String>> {
    rows.iter().map(|row| row.try_get_unchecked(0).unwrap_or_default()).collect()
}

#[async_trait]
impl VersionRow for PostgresSession {
    async fn examine(
        &self,
        table: &TableName,
    ) -> Result<(Option<String>, Option<Mistrust>), DbErr> {
        examine(&self.pool, table).await
    }

    fn refuse_untrusted(&self, table: &TableName) -> String {
        trust::refuse_untrusted(table)
    }

    async fn search_path(&self) -> String {
        let shown = rows(&self.pool, "SHOW search_path").await.unwrap_or_default();
        shown.first().and_then(|row| row.try_get_unchecked(0).ok()).unwrap_or_default()
    }

    fn default_schema(&self) -> Option<&str> {
        self.start.schema.as_deref()
    }

    fn create_schema(&self, table: &TableName) -> String {
        let Some(schema) = table.schema() else { return String::new() };
        // The statement needs the right to create a schema, even if `IF NOT EXISTS` finds it.
        let (name, create) = (
            quoted_literal(schema),
            format!("CREATE SCHEMA IF NOT EXISTS {}", quoted_name(schema)),
        );
        let block = format!(
            "BEGIN IF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace \
             WHERE nspname OPERATOR(pg_catalog.=) {name}) THEN {create}; END IF; END"
        );
        format!("DO {}; ", quoted_literal(&block))
    }

    async fn create(
        &self,
        table: &TableName,
        statements: &str,
        next: Option<&Settings>,
    ) -> Result<Option<Claim>, DbErr> {
        let transaction = self.pool.begin().await?;
        let lock = next.map(|settings| self.lock_row(table, NONE, settings)).unwrap_or_default();
        let message = format!("{BRIEFLY}; {statements}; COMMIT; BEGIN; {lock}");
        // The table is trusted, the row is inserted, and it is locked.
        held_if(transaction, &message, 3).await
    }

    async fn create_and_hold(&self, table: &TableName, statements: &str) -> Result<Claim, DbErr> {
        let transaction = self.begin().await?;
        // Only a locked row can be moved, see `move_row`.
        let lock = format!("SELECT FROM {} FOR UPDATE NOWAIT", table.sql());
        transaction.execute_unprepared(&format!("{statements}; {lock}")).await?;
        Ok(Claim::new(transaction))
    }

    async fn claim(
        &self,
        table: &TableName,
        version: i32,
        settings: &Settings,
    ) -> Result<Option<Claim>, DbErr> {
        let transaction = self.pool.begin().await?;
        held_if(transaction, &self.lock_row(table, version, settings), 1).await
    }

    /// Does it all in one message, which is one round trip. SeaORM takes it for one transaction.
    async fn commit(
        &self,
        claim: Claim,
        moved: &Move<'_>,
        next: Option<&Settings>,
    ) -> Result<Option<Claim>, Failure> {
        let mark = format!("{:016x}", fastrand::u64(..));
        let lock = next.map(|settings| self.lock_row(moved.table, moved.to, settings));
        let durably = if moved.durable { "SET LOCAL synchronous_commit TO DEFAULT; " } else { "" };
        let message = format!(
            "{durably}{}; {}{}; COMMIT; BEGIN; {}; COMMIT; BEGIN; {}",
            self.own_role(),
            trust::refuse_foreign_triggers(moved.table),
            move_row(moved, &mark),
            self.reset(&mark),
            lock.unwrap_or_default()
        );
        match claim.transaction().execute_unprepared(&message).await {
            // The look at the triggers, the move, the reset and the lock give one row each.
            Ok(done) if done.rows_affected() == 4 => Ok(Some(claim)),
            // Dropping the claim rolls back on the connection's way to the pool. That takes no
            // round trip of its own.
            Ok(_) => Ok(None),
            Err(error) if words(&error).contains(ENDED) => {
                claim.give_up().await;
                Err(Failure::EndedTransaction)
            }
            Err(error) => {
                let committed = claim.transaction().execute_unprepared(&look_for(&mark)).await;
                match committed.map(|found| found.rows_affected()) {
                    // The move is committed, so the server refused the lock.
                    Ok(1) => Ok(None),
                    Ok(_) => Err(Failure::Commit(error)),
                    Err(lost) => Err(Failure::Commit(lost)),
                }
            }
        }
    }
}

/// Sends the message. The transaction is a claim if the answer has so many rows.
async fn held_if(
    transaction: DatabaseTransaction,
    message: &str,
    rows: u64,
) -> Result<Option<Claim>, DbErr> {
    if transaction.execute_unprepared(message).await?.rows_affected() == rows {
        return Ok(Some(Claim::new(transaction)));
    }
    transaction.rollback().await?;
    Ok(None)
}

impl PostgresSession {
    /// Locks the row at this version. If it is there, makes the settings of the transaction.
    ///
    /// The settings end with the transaction. Behind a transaction-pooling proxy a plain `SET`
    /// would stay with the server's session, and reach the next client that gets it.
    fn lock_row(&self, table: &TableName, version: i32, settings: &Settings) -> String {
        let lock_timeout = settings.lock_timeout_milliseconds().to_string();
        let mut values = vec![
            ("application_name", settings.label.as_str()),
            ("lock_timeout", &lock_timeout),
            ("statement_timeout", &self.start.statement_timeout),
            ("idle_in_transaction_session_timeout", "0"),
            // Without these, the row of a runner whose machine is gone stays locked for two hours.
            ("tcp_keepalives_idle", "30"),
            ("tcp_keepalives_interval", "10"),
            ("tcp_keepalives_count", "3"),
        ];
        if self.server_version >= CHECKS_CLIENT {
            // A statement outlived its killed client by 11 s without this, and by 1.0 s with it.
            values.push(("client_connection_check_interval", "1000"));
        }
        if self.server_version >= LIMITS_TRANSACTIONS {
            values.push(("transaction_timeout", "0"));
        }
        if !settings.durable {
            values.push(("synchronous_commit", "off"));
        }
        let values = values.iter().map(|(name, value)| set_config(name, value, true));
        let values = values.collect::<Vec<_>>().join(", ");
        let table = table.sql();
        format!(
            "{BRIEFLY}; SELECT {values} FROM {table} \
             WHERE version OPERATOR(pg_catalog.=) {version} FOR UPDATE NOWAIT"
        )
    }
}

/// Moves the version, and fails unless this transaction has locked the row. The mark stays in the
/// session if the transaction is committed, and only then.
fn move_row(moved: &Move<'_>, mark: &str) -> String {
    let update = moved.update("OPERATOR(pg_catalog.=)");
    // Until the transaction ends, the row's xmax is the transaction that locked it.
    format!(
        "WITH moved AS ({update} AND xmax::pg_catalog.text \
         OPERATOR(pg_catalog.=) (pg_catalog.txid_current() \
         OPERATOR(pg_catalog.%) 4294967296::pg_catalog.int8)::pg_catalog.text RETURNING 1) \
         SELECT (CASE WHEN pg_catalog.count(*) OPERATOR(pg_catalog.=) 1 \
         THEN '1' ELSE '{ENDED}' END)::pg_catalog.int4, \
         {} FROM moved",
        set_config(MARK, mark, false)
    )
}

/// Ends the transaction that was refused, and gives a row if the transaction before it was
/// committed.
///
/// It is one message, so that a proxy cannot send its parts to different sessions. If the commit
/// itself was refused, any session gives the right answer.
fn look_for(mark: &str) -> String {
    format!(
        "ROLLBACK; BEGIN; SELECT WHERE pg_catalog.current_setting('{MARK}', true) \
         OPERATOR(pg_catalog.=) '{mark}'"
    )
}
