//! Databases as wholes: waiting for one, creating it, dropping it.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout};

use super::{commands::DropArgs, failure::Failure, output::Output};
use onerow::{
    Error,
    databases::{self, Location, Unanswered},
};

/// A host that swallows packets answers never; another try may reach one that has come up since.
const ATTEMPT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(250);

/// Waits until the server answers; gives for how long that was.
pub(super) async fn wait(url: &str, limit: Duration, output: &Output) -> Result<Duration, Failure> {
    let location = databases::locate(url)?;
    let started = Instant::now();
    let mut told = false;
    loop {
        let error = match timeout(ATTEMPT.min(limit), databases::answers(url)).await {
            Ok(Ok(())) => return Ok(started.elapsed()),
            Ok(Err(Unanswered::Never(error))) => return Err(error.into()),
            Ok(Err(Unanswered::NotYet(error))) => error,
            Err(_) => silent(&location),
        };
        let waited = started.elapsed();
        if waited >= limit {
            return Err(Failure::NoAnswer { location: location.to_string(), waited, source: error.into() });
        }
        if !told {
            output.news(&format!("waiting for {location}"));
            told = true;
        }
        sleep(POLL.min(limit.saturating_sub(waited))).await;
    }
}

fn silent(location: &Location) -> Error {
    let source = sea_orm::DbErr::Custom(format!("nothing came back within {} s", ATTEMPT.as_secs()));
    Error::ServerUnreachable { server: location.to_string(), source }
}

/// Drops the database, once it is sure that this one is meant.
pub(super) async fn drop(url: &str, args: &DropArgs) -> Result<(Location, bool), Failure> {
    let location = make_sure(url, args)?;
    let dropped = databases::drop(url).await.map_err(Failure::Managing)?;
    Ok((location, dropped))
}

/// Drops the database and creates it, if the right to create one is there.
pub(super) async fn reset(url: &str, args: &DropArgs) -> Result<(), Failure> {
    let location = make_sure(url, args)?.to_string();
    if !databases::may_create(url).await.map_err(Failure::Managing)? {
        return Err(Failure::MayNotCreate { location });
    }
    databases::drop(url).await.map_err(Failure::Managing)?;
    let created = databases::create(url).await;
    created.map(|_| ()).map_err(|source| Failure::Gone { location, source: source.into() })
}

/// That the database is on this machine, and that its name was typed.
fn make_sure(url: &str, args: &DropArgs) -> Result<Location, Failure> {
    let location = databases::locate(url)?;
    if !location.is_local && !args.force {
        return Err(Failure::NotLocal { location: location.to_string() });
    }
    if !args.yes {
        confirm(&location)?;
    }
    Ok(location)
}

fn confirm(location: &Location) -> Result<(), Failure> {
    let (stdin, mut stderr) = (io::stdin(), io::stderr());
    if !stdin.is_terminal() {
        return Err(Failure::NoTerminal { location: location.to_string() });
    }
    let _ = writeln!(stderr, "This deletes {location} and all its data.");
    let _ = write!(stderr, "Type {} to go on: ", location.database);
    let _ = stderr.flush();
    let mut line = String::new();
    let read = stdin.lock().read_line(&mut line);
    if read.is_ok() && line.trim_end_matches(['\r', '\n']) == location.database {
        return Ok(());
    }
    Err(Failure::NotConfirmed)
}
