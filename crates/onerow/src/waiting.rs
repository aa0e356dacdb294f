//! Waiting for what another session holds: a waiter sleeps here between two looks.

use std::{future::ready, time::Duration};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use sea_orm::{DatabaseConnection, DbErr};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    backend::{self, ServerSession},
    driver,
    error::{Error, ErrorKind, now_at},
    options::Options,
    progress::Progress,
};

/// The shortest and the longest pause between two looks of a waiter. Each pause is twice the one
/// before, with up to as much again by chance. A waiter never blocks: a blocked waiter holds a
/// snapshot, and a `CREATE INDEX CONCURRENTLY` of the runner that it waits for would wait for that
/// snapshot for ever.
pub(crate) const POLL: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// The shortest and the longest pause before a failed migration is tried again.
pub(crate) const RETRY: (Duration, Duration) =
    (Duration::from_millis(500), Duration::from_secs(10));

/// After how long a wait is told, and how often it is told again. A shorter wait is over before
/// anybody could read of it, and finding out who holds the row takes a connection.
const TELL: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// A waiter that pauses this long or longer gives its connection up meanwhile: the runner that it
/// waits for may need it.
const RELEASE: Duration = Duration::from_millis(500);

/// How long the server may take to answer one of onerow's own statements. Each takes milliseconds,
/// or has a shorter limit on the server.
const ANSWER: Duration = Duration::from_secs(30);

/// A wait for what another session holds.
pub(crate) struct Wait<'a> {
    options: &'a Options<'a>,
    /// The version that the database holds meanwhile, if it could be read.
    version: Option<i32>,
    started: Instant,
    told: Option<Instant>,
    pauses: ExponentialBackoff,
    pause: Duration,
}

impl<'a> Wait<'a> {
    pub(crate) fn new(options: &'a Options<'a>, version: Option<i32>) -> Self {
        let pauses = pauses(POLL);
        Self { options, version, started: Instant::now(), told: None, pauses, pause: POLL.0 }
    }

    pub(crate) fn waited(&self) -> Duration {
        self.started.elapsed()
    }

    /// Whether the next pause is so long that others should have the connection.
    pub(crate) fn releases(&self) -> bool {
        self.pause >= RELEASE
    }

    /// Sleeps until it is time for another look.
    pub(crate) async fn turn(&mut self) -> Result<(), Error> {
        self.turn_for(ready(None)).await
    }

    /// Does the same, and tells who holds it if the wait lasts.
    pub(crate) async fn turn_for(
        &mut self,
        holder: impl Future<Output = Option<ServerSession>>,
    ) -> Result<(), Error> {
        self.tell(holder).await?;
        self.pause().await;
        Ok(())
    }

    /// The first half of a turn: tells of the wait if it lasts. It is an error if the time is over.
    pub(crate) async fn tell(
        &mut self,
        holder: impl Future<Output = Option<ServerSession>>,
    ) -> Result<(), Error> {
        let waited = self.waited();
        if self.is_over(waited) {
            return Err(timed_out(waited, self.version, holder.await.as_ref()));
        }
        if self.is_to_be_told(waited) {
            self.options.tell(&Progress::Waiting { holder: holder.await, waited });
        }
        Ok(())
    }

    /// The second half of a turn: sleeps.
    pub(crate) async fn pause(&self) {
        sleep(self.pause).await;
    }

    /// Sleeps until it is time to try to connect again. If the time is over, it returns the
    /// refusal.
    async fn turn_for_connection(&mut self, refusal: Error) -> Result<(), Error> {
        let waited = self.waited();
        if self.is_over(waited) {
            return Err(refusal);
        }
        if self.is_to_be_told(waited) {
            let reason = refusal.causes().pop().unwrap_or_default();
            self.options.tell(&Progress::WaitingForConnection { reason, waited });
        }
        self.pause().await;
        Ok(())
    }

    /// Sets the next pause. Returns whether the time is over.
    fn is_over(&mut self, waited: Duration) -> bool {
        let left = self.options.wait_timeout.saturating_sub(waited);
        self.pause = self.pauses.next().unwrap_or(POLL.1).min(left);
        left.is_zero()
    }

    fn is_to_be_told(&mut self, waited: Duration) -> bool {
        let tells = self.told.map_or(waited >= TELL.0, |told| told.elapsed() >= TELL.1);
        if tells {
            self.told = Some(Instant::now());
        }
        tells
    }
}

fn timed_out(waited: Duration, version: Option<i32>, holder: Option<&ServerSession>) -> Error {
    let holder = holder.map(|holder| format!(", {holder}")).unwrap_or_default();
    let message = format!("waited {waited:.0?} for another runner{holder}{}", now_at(version));
    Error::new(ErrorKind::WaitTimeout, message).at(version)
}

/// Tries until an attempt returns something, and sleeps between two attempts.
pub(crate) async fn poll<T, F: Future<Output = Result<Option<T>, Error>>>(
    mut wait: Wait<'_>,
    attempt: impl Fn() -> F,
) -> Result<T, Error> {
    loop {
        match attempt().await? {
            Some(done) => return Ok(done),
            None => wait.turn().await?,
        }
    }
}

/// Connects, and waits for as long as the server has no connection to give.
pub(crate) async fn once_let_in<T, F: Future<Output = Result<T, Error>>>(
    options: &Options<'_>,
    pool: &DatabaseConnection,
    connect: impl Fn() -> F,
) -> Result<T, Error> {
    let mut wait = Wait::new(options, None);
    loop {
        match connect().await {
            Err(refusal) if refusal.kind() == ErrorKind::TooManyConnections => {
                // Another process may need the connections that this one does not use.
                backend::of(pool)?.release_idle(pool).await;
                wait.turn_for_connection(refusal).await?;
            }
            done => return done,
        }
    }
}

/// Sends one of onerow's own statements, and waits for its answer for no longer than [`ANSWER`].
pub(crate) async fn answered<T>(
    statement: impl Future<Output = Result<T, DbErr>>,
) -> Result<T, DbErr> {
    timeout(ANSWER, statement).await.unwrap_or_else(|_| Err(driver::silence(ANSWER)))
}

/// Endless pauses, from the shortest to the longest.
pub(crate) fn pauses((shortest, longest): (Duration, Duration)) -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(shortest)
        .with_max_delay(longest)
        .without_max_times()
        .with_jitter()
        .build()
}
