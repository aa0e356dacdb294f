//! Polling for what another session holds. This is where a waiter sleeps.

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

/// A waiter looks again after this long, then after twice as long, each time with up to as much again by
/// chance. It never blocks: a blocked waiter holds a snapshot, and a `CREATE INDEX CONCURRENTLY` of the
/// runner that it waits for would wait for that snapshot for ever.
pub(crate) const POLL: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// The pauses before a migration that did not get a lock is tried again.
pub(crate) const RETRY: (Duration, Duration) =
    (Duration::from_millis(500), Duration::from_secs(10));

/// How long a wait is before it is told, and how often it is told again. A shorter one is over before
/// anybody could read of it, and finding out who holds the row takes a connection.
const TELL: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// A waiter that pauses longer than this between two looks gives its connection up meanwhile: the runner
/// that it waits for may need it.
const RELEASE: Duration = Duration::from_millis(500);

/// How long the server may take to answer a statement of onerow's own. Each is a matter of milliseconds,
/// or has a shorter limit there.
const ANSWER: Duration = Duration::from_secs(30);

/// A wait for what others have.
pub(crate) struct Wait<'a> {
    options: &'a Options<'a>,
    /// What the database holds meanwhile, if it could be read.
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

    /// Whether the next pause is so long that the connection is of more use to others.
    pub(crate) fn releases(&self) -> bool {
        self.pause >= RELEASE
    }

    /// Sleeps until it is time for another look.
    pub(crate) async fn turn(&mut self) -> Result<(), Error> {
        self.turn_for(ready(None)).await
    }

    /// The same, and if it lasts tells who is waited for.
    pub(crate) async fn turn_for(
        &mut self,
        holder: impl Future<Output = Option<ServerSession>>,
    ) -> Result<(), Error> {
        self.tell(holder).await?;
        self.pause().await;
        Ok(())
    }

    /// The first half of a turn: an error if time is up.
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

    /// The second half.
    pub(crate) async fn pause(&self) {
        sleep(self.pause).await;
    }

    /// A turn for a server that has no connection to give.
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

    /// Whether time is up; if not, sets the next pause.
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

/// Tries until an attempt succeeds, and sleeps between two of them.
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

/// Does what needs a connection, once the server has one to give.
pub(crate) async fn once_let_in<T, F: Future<Output = Result<T, Error>>>(
    options: &Options<'_>,
    pool: &DatabaseConnection,
    connect: impl Fn() -> F,
) -> Result<T, Error> {
    let mut wait = Wait::new(options, None);
    loop {
        match connect().await {
            Err(refusal) if refusal.kind() == ErrorKind::TooManyConnections => {
                // What this process has and does not use, another may need to get ahead.
                backend::of(pool)?.release_idle(pool).await;
                wait.turn_for_connection(refusal).await?;
            }
            done => return done,
        }
    }
}

/// A statement of onerow's own, whose answer is not waited for longer than [`ANSWER`].
pub(crate) async fn answered<T>(
    statement: impl Future<Output = Result<T, DbErr>>,
) -> Result<T, DbErr> {
    timeout(ANSWER, statement).await.unwrap_or_else(|_| Err(driver::silence(ANSWER)))
}

pub(crate) fn pauses((shortest, longest): (Duration, Duration)) -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(shortest)
        .with_max_delay(longest)
        .without_max_times()
        .with_jitter()
        .build()
}
