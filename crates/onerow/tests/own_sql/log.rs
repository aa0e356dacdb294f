//! The statements in a server's log.

use onerow::prelude::*;
use onerow_testing::PostgresServer;
use sea_orm::Statement;

/// Marks the SQL of the migrations and of this test, which is not onerow's.
pub const NOT_ONEROWS: &str = "/* not onerow's */";

pub fn server() -> PostgresServer {
    let settings = [
        ("log_statement", "all"),
        ("log_destination", "csvlog"),
        ("logging_collector", "on"),
        ("log_rotation_size", "0"),
    ];
    PostgresServer::start_with(&settings).unwrap()
}

/// The messages of the log so far.
pub async fn messages(server: &PostgresServer) -> Vec<String> {
    // The collector may still have messages in its pipe.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let db = Database::connect(server.url("postgres")).await.unwrap();
    let sql = format!(
        "SELECT pg_catalog.pg_read_file(pg_catalog.pg_current_logfile('csvlog')) {NOT_ONEROWS}"
    );
    let row =
        db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap();
    let log: String = row.unwrap().try_get_by_index(0).unwrap();
    records(&log)
        .into_iter()
        .filter_map(|mut record| (record.len() > MESSAGE).then(|| record.swap_remove(MESSAGE)))
        .collect()
}

/// <https://www.postgresql.org/docs/current/runtime-config-logging.html#RUNTIME-CONFIG-LOGGING-CSVLOG>
const MESSAGE: usize = 13;

/// The statements that were sent, each once, without those that are marked as not onerow's.
pub fn statements(messages: &[String]) -> Vec<String> {
    let sent = messages.iter().filter_map(|message| {
        let (kind, sql) = message.split_once(": ")?;
        (kind == "statement" || kind.starts_with("execute ")).then_some(sql)
    });
    let mut sent: Vec<_> =
        sent.filter(|sql| !sql.contains(NOT_ONEROWS)).map(str::to_owned).collect();
    sent.sort();
    sent.dedup();
    sent
}

/// A quoted field may hold commas and line breaks.
fn records(log: &str) -> Vec<Vec<String>> {
    let mut records = vec![vec![String::new()]];
    let mut in_quotes = false;
    for c in log.chars() {
        let record = records.last_mut().unwrap();
        match c {
            '"' => {
                in_quotes = !in_quotes;
                // A doubled quote stands for one.
                if in_quotes && !record.last().unwrap().is_empty() {
                    record.last_mut().unwrap().push('"');
                }
            }
            ',' if !in_quotes => record.push(String::new()),
            '\n' if !in_quotes => records.push(vec![String::new()]),
            c => record.last_mut().unwrap().push(c),
        }
    }
    records
}
