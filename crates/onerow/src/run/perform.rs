//! Running, validating and watching one migration.

use std::{any::Any, panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;
use tokio::time::Instant;

use super::{FailedTry, Run};
use crate::{
    database::Database,
    driver,
    failure::Failure,
    migration::MigrationTrait,
    monitor::Watched,
    progress::{Applied, Progress},
};

impl Run<'_> {
    /// Runs a migration and its validation, and tells what it is doing. `pid` is the process of its
    /// session on the server.
    pub(super) async fn perform(
        &self,
        db: &Database,
        number: i32,
        pid: i32,
        lock_timeout: Option<Duration>,
    ) -> Result<Applied, FailedTry> {
        let Some(migration) = self.registry.get(number) else {
            unreachable!("the target is within the registry");
        };
        let description = migration.description().to_owned();
        let started = Instant::now();
        let options = &self.connections.options;
        options.tell(&Progress::Started {
            version: number,
            description: description.clone(),
            target: self.target,
        });
        let label = self.label(number);
        let watched = Watched { version: number, db, label: &label, pid, lock_timeout };
        let steps = steps(migration, db);
        let monitor = &self.connections.monitor;
        let (outcome, blockers) = monitor.watch(steps, &watched, |step| options.tell(step)).await;
        match outcome.unwrap_or_else(|silence| Err(Failure::Migrate(silence))) {
            Ok(()) => Ok(Applied { version: number, description, elapsed: started.elapsed() }),
            Err(failure) => {
                if failure.refusal().is_some_and(driver::waits_for_rows) {
                    self.connections.end_deaf_session().await;
                }
                Err(FailedTry { migration: number, failure, blockers })
            }
        }
    }
}

/// Runs a migration and its validation. A panic becomes a failure, so that the caller rolls back.
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
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".into())
}
