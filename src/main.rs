//! A to-do backend that brings its own schema up to date, then serves.
//!
//! | module | holds |
//! |---|---|
//! | `settings` | the command line and the environment |
//! | `database` | `create_database`: opens the pool, migrates |
//! | `server` | the routes; serving, and stopping without dropping a request |
//! | `signals` | SIGINT and SIGTERM |
//! | `members`, `todos` | the handlers |
//! | `extract`, `fields` | what a request may say |
//! | `refusal` | the answer to a request that is not granted |
//! | `error` | why the app could not start, or stop |
//! | `test_app` | the routes on a database of a test's own |

use std::process::ExitCode;

use tokio::net::TcpListener;

use crate::{database::create_database, error::Error, settings::Settings, signals::Signals};

mod database;
mod error;
mod extract;
mod fields;
mod members;
mod refusal;
mod server;
mod settings;
mod signals;
#[cfg(test)]
mod test_app;
mod todos;

/// The default is a file in the working directory.
const DEFAULT_DATABASE: &str = "sqlite://database.sqlite?mode=rwc";

fn main() -> ExitCode {
    // It reads `.env` and `--env-file` into the environment, which is safe only while there is no
    // other thread.
    let settings: Settings = onerow_cli::parse_with_default_database(DEFAULT_DATABASE);
    onerow_cli::init_tracing();
    if settings.is_on(DEFAULT_DATABASE) {
        tracing::info!(
            "the database is the default, {DEFAULT_DATABASE}; DATABASE_URL names another"
        );
    }
    match run(&settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error.print();
            ExitCode::FAILURE
        }
    }
}

/// The listener is bound last, so everybody who can connect is served, on the newest schema.
#[tokio::main]
async fn run(settings: &Settings) -> Result<(), Error> {
    let db = create_database(settings.connect_options()).await?;
    let signals = Signals::take_over().map_err(Error::Signals)?;
    let address = settings.address;
    let listener =
        TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })?;
    server::serve(listener, db, signals, settings.shutdown_timeout()).await
}
