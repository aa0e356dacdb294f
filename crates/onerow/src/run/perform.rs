//! One migration: run, validated, watched.

use std::{any::Any, panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;
use tokio::time::{Instant, timeout};

use super::{CANCEL, Rejected, Run};
use crate::{Applied, Database, Failure, MigrationTrait, Progress, driver, watch::Watched};

impl Run<'_> {
    pub(super) async fn perform(
        &self,
        db: &Database,
        number: i32,
        lock_timeout: Option<Duration>,
    ) -> Result<Applied, Rejected> {
        let Some(migration) = self.registry.get(number) else {
            unreachable!("the target is within the registry");
        };
        let description = migration.description().to_owned();
        let started = Instant::now();
        self.tell(&Progress::Started {
            version: number,
            description: description.clone(),
            target: self.target,
        });
        let label = self.label(number);
        let pid = self.worker.as_ref().unwrap_or(&self.session).start.pid();
        let what = Watched { version: number, db, label: &label, pid, lock_timeout };
        let (outcome, blockers) =
            self.monitor.watch(steps(migration, db), &what, |step| self.tell(step)).await;
        match outcome.unwrap_or_else(|silence| Err(Failure::Migrate(silence))) {
            Ok(()) => Ok(Applied { version: number, description, elapsed: started.elapsed() }),
            Err(failure) => {
                if failure.refusal().is_some_and(driver::waits_for_rows) {
                    self.end_deaf_session().await;
                }
                Err(Rejected { migration: number, failure, blockers })
            }
        }
    }

    /// Ends a session that waits for the rows of a `COPY`, in which a rollback would wait for ever.
    async fn end_deaf_session(&self) {
        if let Ok(monitor) = self.monitor.session().await {
            let _ = timeout(CANCEL, monitor.backend.terminate(&monitor, &self.id)).await;
        }
    }
}

/// Runs a migration and its validation; a panic becomes a failure, so that the caller rolls back as after any other.
async fn steps(migration: &dyn MigrationTrait, db: &Database) -> Result<(), Failure> {
    let steps = async {
        migration.migrate(db).await.map_err(Failure::Migrate)?;
        db.count_anew();
        migration.validate(db).await.map_err(Failure::Validate)
    };
    match AssertUnwindSafe(steps).catch_unwind().await {
        Ok(result) => result,
        Err(panic) => Err(Failure::Panicked(message(&*panic))),
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".into())
}
