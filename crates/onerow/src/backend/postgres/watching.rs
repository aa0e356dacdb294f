//! The sessions of the server: what they are doing, and ending them.

use std::time::Duration;

use async_trait::async_trait;
use onerow_sql::quoted_literal;
use sea_orm::{
    DbErr,
    sqlx::{Row, postgres::PgRow},
};

use super::{rows, session::PostgresSession};
use crate::{
    backend::watching::{Activity, ServerSession, Watch},
    driver::query_error,
    table::TableName,
};

/// How many digits a run's number has in the label of its sessions.
const RUN_DIGITS: usize = 8;

/// Returns to the role of the login. Another role of the session may neither see the states of the
/// login's sessions nor end their statements.
const AS_LOGIN: &str = "SET LOCAL ROLE none";

/// The columns of `pg_stat_activity s` that [`PostgresSession::sessions`] reads.
const SESSION: &str = "s.pid, coalesce(s.application_name, ''),
    coalesce(pg_catalog.date_part('epoch',
        pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) s.xact_start), 0)::pg_catalog.float8";

#[async_trait]
impl Watch for PostgresSession {
    async fn holder(&self, table: &TableName) -> Option<ServerSession> {
        // The row's xmax is its holder's transaction, and pg_locks tells whose that is.
        let sql = format!(
            "SELECT {SESSION} FROM {} v
             JOIN pg_catalog.pg_locks l ON l.locktype OPERATOR(pg_catalog.=) 'transactionid'
             AND l.transactionid OPERATOR(pg_catalog.=) v.xmax AND l.granted
             JOIN pg_catalog.pg_stat_activity s ON s.pid OPERATOR(pg_catalog.=) l.pid",
            table.sql()
        );
        self.sessions(sql).await.ok()?.pop()
    }

    async fn activity(&self, label: &str, pid: i32) -> Result<Activity, DbErr> {
        let blockers = self.sessions(blockers_of(label)).await?;
        let state = rows(&self.pool, &state_of(label, pid)).await?;
        let (count, idle) = match state.first() {
            Some(row) => (row.try_get::<i64, _>(0), row.try_get::<Option<f64>, _>(1)),
            None => (Ok(0), Ok(None)),
        };
        let idle =
            idle.ok().flatten().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let sessions = usize::try_from(count.unwrap_or(0)).unwrap_or(0);
        let phase = rows(&self.pool, &phase_of(label)).await?;
        let phase = phase.first().and_then(|row| row.try_get(0).ok());
        Ok(Activity { sessions, idle, blockers, phase })
    }

    async fn others_at_work(
        &self,
        migration: &str,
        run: &str,
        table: &TableName,
    ) -> Result<Vec<ServerSession>, DbErr> {
        let (digits, label) = run.split_at(RUN_DIGITS);
        let prefix = format!("onerow {migration} ");
        let (digits_at, label_at) = (prefix.len() + 1, prefix.len() + 1 + RUN_DIGITS);
        let name = "s.application_name";
        // The state does not matter: between two statements of a migration a session is idle.
        // Anybody may choose this label, but only a runner has the right to move the version. A
        // role that inherits nothing may still take the role that has that right.
        let sql = format!(
            "SELECT {SESSION} FROM pg_catalog.pg_stat_activity s
             WHERE s.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
             AND pg_catalog.starts_with({name}, '{prefix}')
             AND pg_catalog.substr({name}, {digits_at}, {RUN_DIGITS})
                 OPERATOR(pg_catalog.<>) '{digits}'
             AND pg_catalog.substr({name}, {label_at}) OPERATOR(pg_catalog.=) '{label}'
             AND EXISTS (SELECT FROM pg_catalog.pg_roles r
                 WHERE pg_catalog.pg_has_role(s.usesysid, r.oid, 'MEMBER')
                 AND pg_catalog.has_table_privilege(r.oid, {}::pg_catalog.regclass, 'UPDATE'))",
            quoted_literal(&table.sql())
        );
        self.sessions(sql).await
    }

    async fn cancel(&self, run: &str) -> Result<(), DbErr> {
        self.end_active("pg_cancel_backend", run).await
    }

    async fn terminate(&self, run: &str) -> Result<(), DbErr> {
        self.end_active("pg_terminate_backend", run).await
    }
}

impl PostgresSession {
    async fn sessions(&self, sql: String) -> Result<Vec<ServerSession>, DbErr> {
        let read = |row: PgRow| {
            let seconds: f64 = row.try_get(2)?;
            let since = Duration::try_from_secs_f64(seconds).unwrap_or_default();
            Ok(ServerSession { pid: row.try_get(0)?, application_name: row.try_get(1)?, since })
        };
        let sessions = rows(&self.pool, &sql).await?;
        sessions.into_iter().map(read).collect::<Result<_, _>>().map_err(query_error)
    }

    /// Calls a function on each session of this run that is executing a statement, except this one.
    async fn end_active(&self, function: &str, run: &str) -> Result<(), DbErr> {
        let sql = format!(
            "{AS_LOGIN}; SELECT pg_catalog.{function}(pid) FROM pg_catalog.pg_stat_activity
             WHERE pg_catalog.strpos(application_name, '{run}') OPERATOR(pg_catalog.>) 0
             AND state OPERATOR(pg_catalog.=) 'active'
             AND pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()"
        );
        rows(&self.pool, &sql).await.map(drop)
    }
}

/// The sessions that hold locks which the sessions of this label wait for.
fn blockers_of(label: &str) -> String {
    format!(
        "SELECT DISTINCT {SESSION} FROM pg_catalog.pg_stat_activity mine
             CROSS JOIN LATERAL pg_catalog.unnest(pg_catalog.pg_blocking_pids(mine.pid))
                 AS blocking(pid)
             JOIN pg_catalog.pg_stat_activity s ON s.pid OPERATOR(pg_catalog.=) blocking.pid
             WHERE mine.application_name OPERATOR(pg_catalog.=) '{label}'"
    )
}

/// How many sessions there are, and for how long none of them has executed a statement.
fn state_of(label: &str, pid: i32) -> String {
    format!(
        "{AS_LOGIN}; SELECT pg_catalog.count(*), pg_catalog.date_part('epoch', \
             pg_catalog.min(CASE WHEN state OPERATOR(pg_catalog.<>) 'active' \
             THEN pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) state_change \
             ELSE '0'::pg_catalog.interval END)) \
             FROM pg_catalog.pg_stat_activity \
             WHERE application_name OPERATOR(pg_catalog.=) '{label}' \
             OR pid OPERATOR(pg_catalog.=) {pid}"
    )
}

/// How far the index is that a session of this label builds.
fn phase_of(label: &str) -> String {
    format!(
        "SELECT pg_catalog.format('%s, %s of %s blocks', p.phase, p.blocks_done, p.blocks_total)
             FROM pg_catalog.pg_stat_progress_create_index p
             JOIN pg_catalog.pg_stat_activity s ON s.pid OPERATOR(pg_catalog.=) p.pid
             WHERE s.application_name OPERATOR(pg_catalog.=) '{label}'"
    )
}
