//! The version row of a database that was migrated without onerow until now.

use std::fs::File;

use sea_orm::{DatabaseTransaction, DbErr};

use super::Run;
use crate::{
    adopt::{Plan, Reader, Refusal, Source, already_versioned, refuse_unadopted},
    backend::{Fault, Settings},
    error::{Error, ErrorKind},
    version::{self, Found, NONE},
};

impl Run<'_> {
    /// Sets the version to what the source comes to, unless it is there; gives the one before, and what the source says.
    pub(crate) async fn adopt(&mut self, source: &Source, dry_run: bool) -> Result<(i32, Plan), Error> {
        let adopted = self.adopt_once_free(source, dry_run).await;
        tokio::join!(self.monitor.close(), self.session.close());
        adopted
    }

    async fn adopt_once_free(&self, source: &Source, dry_run: bool) -> Result<(i32, Plan), Error> {
        let mut wait = self.wait_for_row();
        loop {
            let found = self.read().await?;
            let version = found.version().unwrap_or(NONE);
            match self.try_to_adopt(found, version, source, dry_run).await {
                Ok(Some(plan)) => return Ok((version, plan)),
                Ok(None) => self.stand_in_line(&mut wait).await?,
                Err(Refusal::Held(table)) => wait.turn_for_table(&table).await?,
                Err(Refusal::Error(error)) => return Err(error),
            }
        }
    }

    /// `None` if somebody else is at the row.
    async fn try_to_adopt(
        &self,
        found: Found,
        version: i32,
        source: &Source,
        dry_run: bool,
    ) -> Result<Option<Plan>, Refusal> {
        let plan = self.look(version, source).await?;
        if dry_run || plan.version <= version {
            Ok(Some(plan))
        } else {
            self.set(found, version, source).await
        }
    }

    async fn look(&self, version: i32, source: &Source) -> Result<Plan, Refusal> {
        match source {
            Source::Baseline { version: wanted, .. } if version > NONE && version != *wanted => {
                return Err(already_versioned(version).into());
            }
            Source::Baseline { .. } if version > NONE => return Ok(Plan::stay(version)),
            _ => (),
        }
        let transaction = self.begin_reading().await?;
        let plan = source.look(&self.reader(&transaction)).await;
        let _ = transaction.rollback().await;
        match plan {
            // What is not there, or somebody else's, cannot have gone on since.
            Err(Refusal::Error(error)) if version > NONE && is_without_history(&error) => {
                Ok(Plan::stay(version))
            }
            plan => plan,
        }
    }

    /// Sets the version in one transaction, which makes the row where it is missing: no other runner sees a row at which it
    /// would begin with the first migration.
    async fn set(&self, found: Found, version: i32, source: &Source) -> Result<Option<Plan>, Refusal> {
        // Where a migration outside a transaction runs behind a locked file, the row itself is free.
        let _file = self.lock_file_of_row().await?;
        let Some(transaction) = self.hold(found, version).await? else { return Ok(None) };
        let set = self.set_in(&transaction, version, source).await;
        if !matches!(set, Ok(Some(_))) {
            let _ = transaction.rollback().await;
            return set;
        }
        transaction.commit().await.map_err(|error| self.explain("commit the version", error))?;
        set
    }

    async fn set_in(
        &self,
        transaction: &DatabaseTransaction,
        version: i32,
        source: &Source,
    ) -> Result<Option<Plan>, Refusal> {
        let plan = source.look_and_lock(&self.reader(transaction)).await?;
        match version::jump(&self.table, transaction, version, plan.version).await {
            Ok(set) => Ok(set.then_some(plan)),
            Err(error) if self.session.fault(&error) == Fault::Held => Ok(None),
            Err(error) => Err(self.explain("set the version", error).into()),
        }
    }

    async fn lock_file_of_row(&self) -> Result<Option<File>, Error> {
        if self.session.backend.row_excludes_writers() { self.lock_file().await } else { Ok(None) }
    }

    /// A transaction that holds the row at this version; `None` if another session is faster.
    async fn hold(&self, found: Found, version: i32) -> Result<Option<DatabaseTransaction>, Error> {
        if let Found::Version(_) = found {
            let (label, lock_timeout) = (format!("onerow adopt {}", self.id), self.options.lock_timeout);
            let settings = Settings { label, lock_timeout, durable: true };
            let claimed = version::claim(&self.session, &self.table, version, &settings).await;
            return match claimed {
                Err(error) if self.session.fault(&error) == Fault::Held => Ok(None),
                claimed => claimed.map_err(|error| self.explain("claim the version row", error)),
            };
        }
        match version::begin_at_none(&self.session, &self.table, found).await {
            Ok(transaction) => Ok(Some(transaction)),
            Err(error) => self.creation_raced(error).await.map(|()| None),
        }
    }

    /// Sees that nothing pending was applied by the tool that it was written for.
    pub(super) async fn refuse_unadopted(&self, version: i32) -> Result<(), Error> {
        let says = |(number, name): (i32, &dyn crate::MigrationTrait)| {
            (version + 1..=self.target).contains(&number) && !name.replaces().is_empty()
        };
        if !self.registry.has_any_history() && !self.registry.migrations().any(says) {
            return Ok(());
        }
        let mut wait = self.wait_for_row();
        loop {
            let transaction = self.begin_reading().await?;
            let outcome = refuse_unadopted(&self.reader(&transaction), version).await;
            let _ = transaction.rollback().await;
            match outcome {
                Ok(()) => return Ok(()),
                Err(Refusal::Held(table)) => wait.turn_for_table(&table).await?,
                Err(Refusal::Error(error)) => return Err(error),
            }
        }
    }

    async fn begin_reading(&self) -> Result<DatabaseTransaction, Error> {
        let transaction = self.session.backend.begin_reading(&self.session).await;
        transaction.map_err(|error| self.explain("read the tables of other migrators", error))
    }

    fn reader<'a>(&'a self, transaction: &'a DatabaseTransaction) -> Reader<'a> {
        Reader { session: &self.session, transaction, registry: self.registry, own: &self.called }
    }

    fn explain(&self, operation: &str, error: DbErr) -> Error {
        version::explain(self.session.fault(&error), operation, None, &self.called, error)
    }
}

fn is_without_history(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NoHistory
            | ErrorKind::SeveralHistories
            | ErrorKind::ForeignHistory
            | ErrorKind::HistoryElsewhere
    )
}
