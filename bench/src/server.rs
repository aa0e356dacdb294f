//! A throwaway PostgreSQL server that is as careful with its data as any other.

use anyhow::{Context, Result};
use onerow_testing::PostgresServer;
use tokio::{
    task::spawn_blocking,
    time::{Duration, sleep},
};
use tokio_postgres::{Client, NoTls};

/// PostgreSQL's own defaults for the settings that the kit changes for speed, and no background
/// work at moments of its own choice.
const SETTINGS: &[(&str, &str)] = &[
    ("fsync", "on"),
    ("full_page_writes", "on"),
    ("wal_level", "replica"),
    // Fifty processes have a pool each.
    ("max_connections", "500"),
    ("autovacuum", "off"),
    ("checkpoint_timeout", "1h"),
    ("max_wal_size", "16GB"),
];

/// If the statistics stay the same for so long, they are complete: a session reports its share when
/// it ends, and background flushes report within a fifth of a second.
const SETTLED: Duration = Duration::from_millis(500);

pub struct Server {
    server: PostgresServer,
    admin: Client,
}

impl Server {
    pub async fn start() -> Result<Self> {
        let server = spawn_blocking(|| PostgresServer::start_with(SETTINGS)).await??;
        let admin = connect(&server.url("postgres")).await?;
        Ok(Self { server, admin })
    }

    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// The URL of a database.
    pub fn url(&self, database: &str) -> String {
        self.server.url(database) + "?sslmode=disable"
    }

    pub async fn create(&self, database: &str) -> Result<()> {
        self.execute(&format!("CREATE DATABASE {database}")).await
    }

    pub async fn drop(&self, database: &str) -> Result<()> {
        self.execute(&format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)")).await
    }

    /// Writes everything out, so that nothing from before disturbs a measurement.
    pub async fn checkpoint(&self) -> Result<()> {
        self.execute("CHECKPOINT").await
    }

    /// Whether the server waits for its disk. It need not while databases are only being prepared.
    pub async fn set_fsync(&self, is_on: bool) -> Result<()> {
        // This comes before it is on again; otherwise it would wait for all that was not flushed.
        self.checkpoint().await?;
        self.execute(&format!("ALTER SYSTEM SET fsync = {}", if is_on { "on" } else { "off" }))
            .await?;
        self.execute("SELECT pg_reload_conf()").await?;
        // The processes get the signal in their own time.
        sleep(Duration::from_millis(200)).await;
        Ok(())
    }

    /// How often the log was flushed since the server was made.
    pub async fn log_flushes(&self) -> Result<i64> {
        let mut last = self.read_log_flushes().await?;
        loop {
            sleep(SETTLED).await;
            let now = self.read_log_flushes().await?;
            if now == last {
                return Ok(now);
            }
            last = now;
        }
    }

    /// Since version 18, PostgreSQL counts it in another view.
    async fn read_log_flushes(&self) -> Result<i64> {
        let row = self
            .admin
            .query_one("SELECT current_setting('server_version_num')::int >= 180000", &[]);
        let sql = if row.await?.get(0) {
            "SELECT sum(fsyncs)::int8 FROM pg_stat_io WHERE object = 'wal'"
        } else {
            "SELECT wal_sync FROM pg_stat_wal"
        };
        Ok(self.admin.query_one(sql, &[]).await?.get(0))
    }

    pub async fn version(&self) -> Result<String> {
        Ok(self.admin.query_one("SHOW server_version", &[]).await?.get(0))
    }

    async fn execute(&self, sql: &str) -> Result<()> {
        self.admin.batch_execute(sql).await.with_context(|| sql.to_owned())
    }
}

/// A session, open until the client is dropped.
pub async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
