//! A run inside this process, whose error can be inspected.

use std::{
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use onerow::{Database, Error, ErrorKind, Progress, Report, Up};
use sea_orm::ConnectOptions;
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{place::Place, runner::LIMIT, state, subject::Subject};

/// A run on a task of its own.
pub struct Running {
    task: JoinHandle<Result<Report, Error>>,
    heard: Arc<Mutex<Vec<Progress>>>,
}

/// How it ended.
pub struct Ending {
    pub outcome: Result<Report, Error>,
    pub heard: Vec<Progress>,
}

impl Running {
    /// Connects and applies everything.
    pub fn start(options: impl Into<ConnectOptions>, subject: Subject) -> Self {
        Self::start_with(options, subject, |up| up)
    }

    /// Connects and applies everything, with these options of the run.
    pub fn start_with(
        options: impl Into<ConnectOptions>,
        subject: Subject,
        configure: impl FnOnce(Up<'_>) -> Up<'_> + Send + 'static,
    ) -> Self {
        let heard: Arc<Mutex<Vec<Progress>>> = Arc::default();
        let (options, steps) = (options.into(), Arc::clone(&heard));
        let task = tokio::spawn(async move {
            let db = Database::connect(options).await?;
            let registry = subject.registry();
            let hear = move |step: &Progress| locked(&steps).push(step.clone());
            let outcome = configure(registry.up(&db).on_progress(hear)).await;
            // If the connection is broken this fails, which does not matter.
            let _ = db.disconnect().await;
            outcome
        });
        Self { task, heard }
    }

    /// Waits until the run reports such a step; false if it ends before.
    pub async fn hears(&self, wanted: impl Fn(&Progress) -> bool) -> bool {
        while !self.is_over() {
            if locked(&self.heard).iter().any(&wanted) {
                return true;
            }
            sleep(Duration::from_millis(10)).await;
        }
        false
    }

    pub fn is_over(&self) -> bool {
        self.task.is_finished()
    }

    /// Waits for its end. Panics if it does not end.
    pub async fn end(self) -> Ending {
        self.end_within(LIMIT).await
    }

    /// The same, with more time or less.
    pub async fn end_within(self, limit: Duration) -> Ending {
        let joined = timeout(limit, self.task).await;
        let joined = joined.unwrap_or_else(|_| {
            panic!(
                "a run hangs: it has not ended in {limit:?}, and last told {:?}",
                locked(&self.heard).last()
            )
        });
        let outcome = joined.unwrap_or_else(|error| panic!("a run panicked: {error}"));
        let heard = std::mem::take(&mut *locked(&self.heard));
        Ending { outcome, heard }
    }
}

impl Ending {
    /// The versions that it reported as applied.
    pub fn applied(&self) -> Vec<i32> {
        let of = |step: &Progress| match step {
            Progress::Applied(applied) => Some(applied.version),
            _ => None,
        };
        self.heard.iter().filter_map(of).collect()
    }

    /// The version after a run that succeeded.
    pub fn version(&self) -> i32 {
        match &self.outcome {
            Ok(report) => report.version,
            Err(error) => panic!("up failed\n{}", error.explain()),
        }
    }

    /// Panics if the run or its error reports another version than the database holds.
    pub fn assert_truthful(&self, found: i32) {
        let told = match &self.outcome {
            Ok(report) => Some(report.version..=report.version),
            Err(error) => told(error),
        };
        let Some(told) = told else { return };
        assert!(
            told.contains(&found),
            "the database is at version {found}, and the run tells {told:?}\n{}",
            self.explain()
        );
    }

    /// Panics if the server has lost the version that a successful run reported. A run that fails
    /// has not waited for its commits to reach the disk, so the version in its error may be lost
    /// with the server.
    pub fn assert_lasting(&self, found: i32) {
        if self.outcome.is_ok() {
            self.assert_truthful(found);
        }
    }

    pub fn explain(&self) -> String {
        match &self.outcome {
            Ok(report) => format!("{report:?}"),
            Err(error) => error.explain().to_string(),
        }
    }
}

/// The range of versions that an error allows.
fn told(error: &Error) -> Option<RangeInclusive<i32>> {
    match (error.kind(), error.migration()) {
        (ErrorKind::CommitInDoubt, Some(migration)) => Some(migration - 1..=migration),
        _ => error.version().map(|version| version..=version),
    }
}

/// Applies the rest, without a fault, and checks the last version.
pub async fn finish(place: &Place, subject: Subject) {
    let ending = Running::start(place.url.as_str(), subject).end().await;
    assert_eq!(ending.version(), subject.last());
    state::check_finished(place, subject).await;
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
