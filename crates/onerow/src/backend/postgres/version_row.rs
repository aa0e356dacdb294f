//! The version row on PostgreSQL: each statement, each a round trip.

use async_trait::async_trait;
use onerow_sql::{quoted_literal, quoted_name};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, TransactionTrait,
    sqlx::{self, AssertSqlSafe, Row, postgres::PgRow},
};

use super::{
    Postgres,
    connecting::ask,
    fault, rows,
    session::{BRIEFLY, CHECKS_CLIENT, LIMITS_TRANSACTIONS, PostgresSession},
    set_config, texts,
};
use crate::{
    backend::{
        fault::Fault,
        session::Session,
        version_row::{Claim, Mistrust, Move, NONE, ReadRow, Rows, Settings, VersionRow},
    },
    driver::{code, query_error, words},
    error::Error,
    failure::Failure,
    table::TableName,
};

/// What a server says of a view of which it is asked for a sample.
const NOT_A_TABLE: [&str; 2] = ["0A000", "42809"];

#[async_trait]
impl ReadRow for Postgres {
    async fn read_row(
        &self,
        pool: &DatabaseConnection,
        table: &TableName,
    ) -> Result<Result<Rows, DbErr>, Error> {
        let rows = match ask(pool.get_postgres_connection_pool(), &read_row(table, true)).await? {
            Ok(rows) if !rows.is_empty() && rows.iter().all(is_plain) => {
                return Ok(Ok(Rows { versions: versions(&rows), mistrust: None }));
            }
            Ok(rows) => versions(&rows),
            // So says the server if the role has `row_security = off`.
            Err(error) if fault(&error) == Fault::Denied && self.hides_rows(pool, table).await => {
                return Ok(Ok(Rows { mistrust: Some(Mistrust::Hidden), ..Rows::default() }));
            }
            // It is no table.
            Err(error) if code(&error).is_some_and(|code| NOT_A_TABLE.contains(&&*code)) => {
                Vec::new()
            }
            Err(error) => return Ok(Err(query_error(error))),
        };
        Ok(read_closely(pool, table, rows).await)
    }

    async fn hides_rows(&self, pool: &DatabaseConnection, table: &TableName) -> bool {
        let sql = format!(
            "SELECT pg_catalog.row_security_active(pg_catalog.to_regclass({}))",
            quoted_literal(&table.sql())
        );
        let found = rows(pool, &sql).await.unwrap_or_default();
        found.first().is_some_and(|row| {
            row.try_get_unchecked::<String, _>(0).is_ok_and(|active| active == "t")
        })
    }
}

/// What the table is, if there is something about it; its row, if that may be read.
async fn read_closely(
    pool: &DatabaseConnection,
    table: &TableName,
    rows: Vec<Option<String>>,
) -> Result<Rows, DbErr> {
    let (_, mistrust) = examine(pool, table).await?;
    if !rows.is_empty() || mistrust.is_some() {
        return Ok(Rows { versions: rows, mistrust });
    }
    // Row security of one who is trusted may show it.
    let answer = sqlx::raw_sql(AssertSqlSafe(read_row(table, false)));
    let answer =
        answer.fetch_all(pool.get_postgres_connection_pool()).await.map_err(query_error)?;
    let hidden = answer.is_empty() && Postgres.hides_rows(pool, table).await;
    Ok(Rows { versions: versions(&answer), mistrust: hidden.then_some(Mistrust::Hidden) })
}

#[async_trait]
impl VersionRow for PostgresSession {
    async fn examine(
        &self,
        table: &TableName,
    ) -> Result<(Option<String>, Option<Mistrust>), DbErr> {
        examine(&self.pool, table).await
    }

    fn default_schema(&self) -> Option<&str> {
        self.start.schema.as_deref()
    }

    fn create_schema(&self, table: &TableName) -> String {
        let Some(schema) = table.schema() else { return String::new() };
        // Even with `IF NOT EXISTS` it takes the right to create one.
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
        // A row of the insertion, and one of the lock.
        held_if(transaction, &message, 2).await
    }

    async fn create_and_hold(&self, table: &TableName, statements: &str) -> Result<Claim, DbErr> {
        let transaction = self.begin().await?;
        // A row that is locked is one that may be moved, see `move_row`.
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

    /// All in one message: each would be a round trip. To SeaORM it stays the same transaction.
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
            "{durably}{}; {}; COMMIT; BEGIN; {}; COMMIT; BEGIN; {}",
            self.own_role(),
            move_row(moved, &mark),
            self.reset(&mark),
            lock.unwrap_or_default()
        );
        match claim.transaction().execute_unprepared(&message).await {
            // A row each of the move, of the reset and of the lock.
            Ok(done) if done.rows_affected() == 3 => Ok(Some(claim)),
            // Rolled back on the connection's way to the pool, which takes no round trip of its own.
            Ok(_) => Ok(None),
            Err(error) if words(&error).contains(ENDED) => {
                claim.give_up().await;
                Err(Failure::EndedTransaction)
            }
            Err(error) => {
                let committed = claim.transaction().execute_unprepared(&look_for(&mark)).await;
                match committed.map(|found| found.rows_affected()) {
                    // What was refused is the lock.
                    Ok(1) => Ok(None),
                    Ok(_) => Err(Failure::Commit(error)),
                    Err(lost) => Err(Failure::Commit(lost)),
                }
            }
        }
    }
}

/// A claim, if the message is answered with so many rows.
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
    /// Locks the row at this version, and sets what the transaction needs if it is there.
    ///
    /// What is set ends with the transaction: behind a transaction-pooling proxy a plain `SET` would stay with the server's
    /// session, and pass to whoever gets it next.
    fn lock_row(&self, table: &TableName, version: i32, settings: &Settings) -> String {
        let lock_timeout = settings.lock_timeout_milliseconds().to_string();
        let mut values = vec![
            ("application_name", settings.label.as_str()),
            ("lock_timeout", &lock_timeout),
            ("statement_timeout", &self.start.statement_timeout),
            ("idle_in_transaction_session_timeout", "0"),
            // Otherwise the row of a runner whose machine is gone stays locked for two hours.
            ("tcp_keepalives_idle", "30"),
            ("tcp_keepalives_interval", "10"),
            ("tcp_keepalives_count", "3"),
        ];
        if self.server_version >= CHECKS_CLIENT {
            // A statement in flight outlived its killed client by 11 s without this, and by 1.0 s with it.
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

/// Reads the row, and with it, in the one statement of a run with nothing to do, whether the table is an ordinary one.
///
/// To read a view would run its maker's functions with the reader's rights, so a sample of all rows is asked for, which only a
/// table gives; for the same reason row security is not entered before it is known whose it is. It looks at little, since
/// each further catalog costs: [`examine`] sees the rest.
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

fn is_plain(row: &PgRow) -> bool {
    row.try_get_unchecked::<String, _>(1).is_ok_and(|plain| plain == "t")
}

fn versions(rows: &[PgRow]) -> Vec<Option<String>> {
    rows.iter().map(|row| row.try_get_unchecked(0).unwrap_or_default()).collect()
}

async fn examine(
    pool: &DatabaseConnection,
    table: &TableName,
) -> Result<(Option<String>, Option<Mistrust>), DbErr> {
    let found = rows(pool, &examination(table)).await?;
    found.first().map_or(Ok((None, None)), |row| examined(row).map_err(query_error))
}

/// Where the table is, whose it is, and what could run somebody else's code when it is read or written to.
fn examination(table: &TableName) -> String {
    let database = "(SELECT datdba FROM pg_catalog.pg_database \
        WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database())";
    let superuser = "(pg_catalog.current_setting('is_superuser') OPERATOR(pg_catalog.=) 'on')";
    // A superuser is a member of every role.
    format!(
        "SELECT n.nspname, o.rolname, \
         o.rolsuper OR o.rolname OPERATOR(pg_catalog.=) current_user OR o.oid OPERATOR(pg_catalog.=) {database} \
         OR (NOT {superuser} AND pg_catalog.pg_has_role(o.oid, 'MEMBER')), \
         {superuser} OR pg_catalog.pg_has_role({database}, 'MEMBER'), \
         pg_catalog.row_security_active(c.oid), \
         CASE WHEN c.relkind OPERATOR(pg_catalog.<>) 'r' THEN 'is not an ordinary table' \
         WHEN c.relhasrules THEN 'has a rule' \
         WHEN c.relhastriggers THEN (SELECT 'has the trigger ' OPERATOR(pg_catalog.||) tgname::pg_catalog.text \
         FROM pg_catalog.pg_trigger WHERE tgrelid OPERATOR(pg_catalog.=) c.oid AND NOT tgisinternal LIMIT 1) END \
         FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace \
         JOIN pg_catalog.pg_roles o ON o.oid OPERATOR(pg_catalog.=) c.relowner \
         WHERE c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass({})",
        quoted_literal(&table.sql())
    )
}

fn examined(row: &PgRow) -> Result<(Option<String>, Option<Mistrust>), sqlx::Error> {
    let [schema, owner, trusted, privileged, row_security, code] = texts(row)?
        .try_into()
        .map_err(|_| sqlx::Error::Protocol("a table has other facts than were asked for".into()))?;
    let is = |text: Option<String>| text.as_deref() == Some("t");
    let (trusted, privileged, row_security) = (is(trusted), is(privileged), is(row_security));
    let mistrust = match code {
        None if trusted => None,
        None if row_security => Some(Mistrust::Hidden),
        // Who may do anything is not told that there is nothing to do by who may do little.
        has => Some(Mistrust::Foreign {
            owner: owner.unwrap_or_default(),
            has,
            even_to_read: !trusted && privileged,
        }),
    };
    Ok((schema, mistrust))
}

/// Moves the version, and fails unless it moves in the transaction that locked the row. The mark stays with the session if the
/// transaction is committed, and only then.
fn move_row(moved: &Move<'_>, mark: &str) -> String {
    let update = moved.update("OPERATOR(pg_catalog.=)");
    // A row's lock is in its xmax, until the transaction ends.
    format!(
        "WITH moved AS ({update} AND xmax::pg_catalog.text OPERATOR(pg_catalog.=) (pg_catalog.txid_current() \
         OPERATOR(pg_catalog.%) 4294967296::pg_catalog.int8)::pg_catalog.text RETURNING 1) \
         SELECT (CASE WHEN pg_catalog.count(*) OPERATOR(pg_catalog.=) 1 THEN '1' ELSE '{ENDED}' END)::pg_catalog.int4, \
         {} FROM moved",
        set_config(MARK, mark, false)
    )
}

/// What the server is made to take for a number, and to refuse.
const ENDED: &str = "onerow: the migration ended its transaction, or changed the version row";

/// A setting of the session that tells whether a commit took place.
pub(super) const MARK: &str = "onerow.committed";

/// Ends the transaction that was refused, and gives a row if the one before it was committed. In one message, so that a proxy
/// cannot give its parts to different sessions; and where the commit itself was refused any session will do.
fn look_for(mark: &str) -> String {
    format!(
        "ROLLBACK; BEGIN; SELECT WHERE pg_catalog.current_setting('{MARK}', true) OPERATOR(pg_catalog.=) '{mark}'"
    )
}
