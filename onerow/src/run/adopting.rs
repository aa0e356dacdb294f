//! The version row of a database that was migrated without onerow until now.

use sea_orm::{DatabaseTransaction, TransactionTrait};

use super::Run;
use crate::{
    Error,
    adopt::{Plan, Source, refuse_unadopted},
    backend::{Fault, Settings},
    version::{self, Found, NONE},
};

impl Run<'_> {
    /// Sets the version to what the source comes to, unless there is one; gives the one before, and what the source says.
    ///
    /// In one transaction, which makes the row where it is missing: no other runner sees a row at which it would begin with the
    /// first migration.
    pub(crate) async fn adopt(
        &mut self,
        found: Found,
        source: &Source,
        dry_run: bool,
    ) -> Result<(i32, Plan), Error> {
        let adopted = self.adopt_once_free(found, source, dry_run).await;
        tokio::join!(self.monitor.close(), self.session.close());
        adopted
    }

    async fn adopt_once_free(
        &mut self,
        mut found: Found,
        source: &Source,
        dry_run: bool,
    ) -> Result<(i32, Plan), Error> {
        let mut wait = self.wait_for_row();
        loop {
            match found {
                Found::Version(version) if version > NONE => {
                    return Ok((version, self.compare(version, source).await?));
                }
                Found::Held => wait.turn(None).await?,
                _ if dry_run => return Ok((NONE, self.look(source).await?)),
                _ => match self.set(found, source).await? {
                    Some(plan) => return Ok((NONE, plan)),
                    None => wait.turn(self.holder().await).await?,
                },
            }
            found = version::read(self.pool, &self.table).await?;
        }
    }

    /// What the source says, where there is a version already.
    async fn compare(&self, version: i32, source: &Source) -> Result<Plan, Error> {
        let history = match source {
            Source::Baseline { version: wanted, .. } if *wanted != version => {
                return Err(Error::AlreadyVersioned { version });
            }
            Source::Baseline { .. } => return Ok(Plan { version, tool: None }),
            Source::History { .. } => self.look(source).await,
        };
        match history {
            Ok(Plan { version: history, tool: Some((tool, table)), .. }) if history > version => {
                Err(Error::HistoryAhead { tool, table, history, version })
            }
            // The old table may be gone by now.
            Err(Error::NoHistory { .. }) => Ok(Plan { version, tool: None }),
            plan => plan,
        }
    }

    async fn look(&self, source: &Source) -> Result<Plan, Error> {
        let transaction = self.begin_reading().await?;
        let plan = source.plan(&self.session, &transaction, (self.registry, &self.table), false).await;
        let _ = transaction.rollback().await;
        plan.map(|plan| plan.unwrap_or_else(|| unreachable!("without a lock nobody is in the way")))
    }

    /// Sets the version; `None` if somebody else is at the row, or at the old tool's table.
    async fn set(&self, found: Found, source: &Source) -> Result<Option<Plan>, Error> {
        let Some(transaction) = self.hold(found).await? else { return Ok(None) };
        let set = self.set_in(&transaction, source).await;
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
        source: &Source,
    ) -> Result<Option<Plan>, Error> {
        let plan = source.plan(&self.session, transaction, (self.registry, &self.table), true).await?;
        let Some(plan) = plan else { return Ok(None) };
        let set = version::start_at(&self.table, transaction, plan.version).await;
        let set = set.map_err(|error| self.explain("set the version", error))?;
        Ok(set.then_some(plan))
    }

    /// A transaction that holds the row, before the first migration; `None` if another session is faster.
    async fn hold(&self, found: Found) -> Result<Option<DatabaseTransaction>, Error> {
        if let Found::Version(_) = found {
            let (label, lock_timeout) = (format!("onerow adopt {}", self.id), self.options.lock_timeout);
            let settings = Settings { label, lock_timeout, durable: true };
            let claimed = version::claim(&self.session, &self.table, NONE, &settings).await;
            return match claimed {
                Err(error) if self.session.fault(&error) == Fault::Held => Ok(None),
                claimed => claimed.map_err(|error| self.explain("claim the version row", error)),
            };
        }
        match version::begin_at_none(&self.session, &self.table, found).await {
            Ok(transaction) => Ok(Some(transaction)),
            Err(error) => self.creation_raced(error).map(|()| None),
        }
    }

    /// Sees, before the first migration, that it was not applied by the tool that it was written for.
    pub(super) async fn refuse_unadopted(&self) -> Result<(), Error> {
        if !self.registry.replaces_any() {
            return Ok(());
        }
        let transaction = self.begin_reading().await?;
        let outcome = refuse_unadopted(&self.session, &transaction, self.registry, &self.table).await;
        let _ = transaction.rollback().await;
        outcome
    }

    async fn begin_reading(&self) -> Result<DatabaseTransaction, Error> {
        let transaction = self.session.pool.begin().await;
        transaction.map_err(|error| self.explain("read the tables of other migrators", error))
    }

    fn explain(&self, operation: &str, error: sea_orm::DbErr) -> Error {
        version::explain(self.session.fault(&error), operation, None, &self.table, error)
    }
}
