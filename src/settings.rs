//! The command line and the environment.

use std::{net::SocketAddr, time::Duration};

use clap::{Parser, value_parser};
use onerow_cli::DatabaseArgs;
use sea_orm::ConnectOptions;

/// A day: a longer timeout is a mistake.
const LONGEST_TIMEOUT: u64 = 24 * 60 * 60;

/// A to-do backend: opens its database, brings the schema up to date, then serves until SIGINT or
/// SIGTERM
#[derive(Parser)]
#[command(version)]
pub struct Settings {
    #[command(flatten)]
    database: DatabaseArgs,

    /// Where to listen; port 0 takes a free one
    #[arg(long, env = "LISTEN_ADDRESS", value_name = "IP:PORT", default_value = "127.0.0.1:8080")]
    pub address: SocketAddr,

    /// The most connections to hold open [default: 10 on PostgreSQL, 1 on SQLite]
    #[arg(long, env = "POOL_SIZE", value_name = "CONNECTIONS")]
    #[arg(value_parser = value_parser!(u32).range(1..))]
    pool_size: Option<u32>,

    /// How many seconds a request waits for a connection before it is answered with 503
    #[arg(long, env = "ACQUIRE_TIMEOUT", value_name = "SECONDS", default_value_t = 10)]
    #[arg(value_parser = value_parser!(u64).range(1..=LONGEST_TIMEOUT))]
    acquire_timeout: u64,

    /// How many seconds a connection stays open unused
    #[arg(long, env = "IDLE_TIMEOUT", value_name = "SECONDS", default_value_t = 600)]
    #[arg(value_parser = value_parser!(u64).range(1..=LONGEST_TIMEOUT))]
    idle_timeout: u64,

    /// How many seconds requests in flight may go on after SIGINT or SIGTERM
    #[arg(long, env = "SHUTDOWN_TIMEOUT", value_name = "SECONDS", default_value_t = 30)]
    #[arg(value_parser = value_parser!(u64).range(1..=LONGEST_TIMEOUT))]
    shutdown_timeout: u64,
}

impl Settings {
    /// Whether this is the URL of the database.
    pub fn is_on(&self, url: &str) -> bool {
        self.database.database_url == url
    }

    /// The pool's size and timeouts.
    pub fn connect_options(&self) -> ConnectOptions {
        let mut options = self.database.connect_options();
        options
            .acquire_timeout(Duration::from_secs(self.acquire_timeout))
            .idle_timeout(Duration::from_secs(self.idle_timeout));
        if let Some(connections) = self.pool_size {
            options.max_connections(connections);
        }
        options
    }

    /// How long requests in flight may go on after the signal to stop.
    pub fn shutdown_timeout(&self) -> Duration {
        Duration::from_secs(self.shutdown_timeout)
    }
}
