//! Whole databases: waiting for one, creating it, dropping it.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout};

use super::{
    arguments::DatabaseArgs,
    command_error::{CommandError, LastTry},
    commands::{DropArgs, ResetArgs},
    output::Output,
};
use onerow::databases::{self, Location, Unanswered};

/// A host that drops packets never answers. If it has come up meanwhile, another try reaches it.
const ATTEMPT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(250);

/// Waits until the server answers; returns how long that took.
pub(super) async fn wait(
    url: &str,
    limit: Duration,
    output: &Output,
) -> Result<Duration, CommandError> {
    let location = databases::locate(url)?;
    let started = Instant::now();
    let mut told = false;
    loop {
        let last = match timeout(ATTEMPT.min(limit), databases::answers(url)).await {
            Ok(Ok(())) => return Ok(started.elapsed()),
            Ok(Err(Unanswered::Never(error))) => return Err(error.into()),
            Ok(Err(Unanswered::NotYet(error))) => LastTry::Refused(error.into()),
            Err(_) => LastTry::Silent { seconds: ATTEMPT.as_secs() },
        };
        let waited = started.elapsed();
        if waited >= limit {
            return Err(CommandError::NoAnswer { location: location.to_string(), waited, last });
        }
        if !told {
            output.news(&format!("waiting for {location}"));
            told = true;
        }
        sleep(POLL.min(limit.saturating_sub(waited))).await;
    }
}

/// Drops the database after it has made sure that this one is meant.
pub(super) async fn drop(
    database: &DatabaseArgs,
    args: &DropArgs,
) -> Result<(Location, bool), CommandError> {
    let location = make_sure(database, args)?;
    let dropped = databases::drop(&database.database_url).await.map_err(CommandError::Managing)?;
    Ok((location, dropped))
}

/// Drops the database and creates it, if the user has the right to create one and a run would not
/// be refused.
pub(super) async fn reset(
    database: &DatabaseArgs,
    args: &ResetArgs,
) -> Result<String, CommandError> {
    let url = database.database_url.as_str();
    let location = make_sure(database, &args.drop)?.to_string();
    let on_unverified_engine = args.limits.server.on_unverified_engine;
    databases::admit(url, on_unverified_engine).await.map_err(CommandError::Managing)?;
    if !databases::may_create(url).await.map_err(CommandError::Managing)? {
        return Err(CommandError::MayNotCreate { location });
    }
    databases::drop(url).await.map_err(CommandError::Managing)?;
    let created = databases::create(url).await;
    match created {
        Ok(_) => Ok(location),
        Err(source) => Err(CommandError::Gone { location, source: source.into() }),
    }
}

/// Makes sure that the database is on this machine, and that somebody has typed its name.
fn make_sure(database: &DatabaseArgs, args: &DropArgs) -> Result<Location, CommandError> {
    let location = databases::locate(&database.database_url)?;
    if database.database_schema.is_some() {
        return Err(CommandError::OneSchema { location: location.to_string() });
    }
    if !location.is_local && !args.force {
        return Err(CommandError::NotLocal { location: location.to_string() });
    }
    if !args.yes {
        confirm(&location)?;
    }
    Ok(location)
}

fn confirm(location: &Location) -> Result<(), CommandError> {
    let (stdin, mut stderr) = (io::stdin(), io::stderr());
    if !stdin.is_terminal() {
        return Err(CommandError::NoTerminal { location: location.to_string() });
    }
    let _ = writeln!(stderr, "This deletes {location} and all its data.");
    let _ = write!(stderr, "Type {} to go on: ", location.database);
    let _ = stderr.flush();
    let mut line = String::new();
    let read = stdin.lock().read_line(&mut line);
    if read.is_ok() && line.trim_end_matches(['\r', '\n']) == location.database {
        return Ok(());
    }
    Err(CommandError::NotConfirmed)
}
