//! Setting the version row of a database that was migrated without onerow until now.

use sea_orm::{DatabaseTransaction, DbErr};

use super::{
    error::{already_versioned, history_busy},
    history::{Reader, Unread},
    source::{self, Plan, Source},
};
use crate::{
    backend::{Claim, Fault, Move, NONE, Settings},
    connections::Connections,
    error::{Error, ErrorKind},
    failure::Failure,
    registry::Registry,
    table::TableName,
    version::{self, Found},
    waiting::Wait,
};

/// Sets the version to the one that the source says, unless the database is there already. Returns
/// the version before that, and what the source says.
pub(super) async fn take_over_at(
    registry: &Registry,
    connections: &Connections<'_>,
    source: &Source,
    dry_run: bool,
) -> Result<(i32, Plan), Error> {
    let adopted = TakeOver { registry, connections, source, dry_run }.run().await;
    connections.close().await;
    adopted
}

/// An error if another tool has applied a migration that is pending here. It looks at tables only
/// if the registry names one, or if a pending migration replaces one of another tool.
pub(crate) async fn check_adopted(
    registry: &Registry,
    connections: &Connections<'_>,
    version: i32,
    target: i32,
) -> Result<(), Error> {
    let pending = version + 1..=target;
    let mut migrations = registry.migrations();
    let replaces =
        migrations.any(|(number, found)| pending.contains(&number) && !found.replaces().is_empty());
    if !registry.has_any_history() && !replaces {
        return Ok(());
    }
    let mut wait = Wait::new(&connections.options, None);
    loop {
        let transaction = begin_reading(connections).await?;
        let reader = reader(registry, connections, &transaction);
        let outcome = source::check_adopted(&reader, version).await;
        let _ = transaction.rollback().await;
        match outcome {
            Ok(()) => return Ok(()),
            Err(Unread::Held(table)) => turn_for_table(&mut wait, &table).await?,
            Err(Unread::Error(error)) => return Err(error),
        }
    }
}

struct TakeOver<'a> {
    registry: &'a Registry,
    connections: &'a Connections<'a>,
    source: &'a Source,
    dry_run: bool,
}

impl TakeOver<'_> {
    async fn run(&self) -> Result<(i32, Plan), Error> {
        let mut wait = Wait::new(&self.connections.options, None);
        loop {
            let found = self.connections.read().await?;
            // Somebody else may have made the table since the first look at it.
            version::examine(&*self.connections.session, &self.connections.called).await?;
            let version = found.version().unwrap_or(NONE);
            match self.try_once(found, version).await {
                Ok(Some(plan)) => return Ok((version, plan)),
                Ok(None) => self.connections.stand_in_line(&mut wait).await?,
                Err(Unread::Held(table)) => turn_for_table(&mut wait, &table).await?,
                Err(Unread::Error(error)) => return Err(error),
            }
        }
    }

    /// Returns `None` if another session holds the row or has moved it.
    async fn try_once(&self, found: Found, version: i32) -> Result<Option<Plan>, Unread> {
        let plan = self.look(version).await?;
        if self.dry_run || plan.version <= version {
            Ok(Some(plan))
        } else {
            self.set(found, version).await
        }
    }

    async fn look(&self, version: i32) -> Result<Plan, Unread> {
        match self.source {
            Source::Baseline { version: wanted, .. } if version > NONE && version != *wanted => {
                return Err(already_versioned(version).into());
            }
            Source::Baseline { .. } if version > NONE => return Ok(Plan::stay(version)),
            _ => (),
        }
        let transaction = begin_reading(self.connections).await?;
        let plan = self.source.look(&self.reader(&transaction)).await;
        let _ = transaction.rollback().await;
        match plan {
            // If the old tool's table is gone or somebody else's, nothing can be left to adopt.
            Err(Unread::Error(error)) if version > NONE && is_without_history(&error) => {
                Ok(Plan::stay(version))
            }
            plan => plan,
        }
    }

    /// Sets the version in one transaction, which also makes the row if it is missing. So no other
    /// runner sees a row at which it would begin with the first migration.
    async fn set(&self, found: Found, version: i32) -> Result<Option<Plan>, Unread> {
        // While a migration outside a transaction runs, a locked file may stand for the row, which
        // is free.
        let _file = self.connections.lock_file(None).await?;
        let Some(claim) = self.hold(found, version).await? else { return Ok(None) };
        match self.source.look_and_lock(&self.reader(claim.transaction())).await {
            Ok(plan) => self.move_to(plan, claim, version).await,
            Err(unread) => {
                claim.give_up().await;
                Err(unread)
            }
        }
    }

    /// Claims the row at this version, and makes it if it is missing. Returns `None` if another
    /// session was faster.
    async fn hold(&self, found: Found, version: i32) -> Result<Option<Claim>, Error> {
        let Connections { session, table, options, .. } = self.connections;
        if let Found::Version(_) = found {
            let label = self.connections.label("adopt");
            let settings = Settings { label, lock_timeout: options.lock_timeout, durable: true };
            return match session.claim(table, version, &settings).await {
                Err(error) if session.fault(&error) == Fault::Held => Ok(None),
                claimed => claimed.map_err(|error| self.cannot("claim the version row", error)),
            };
        }
        match version::create_and_hold(&**session, table, found).await {
            Ok(claim) => Ok(Some(claim)),
            Err(error) => self.connections.creation_raced(error).await.map(|()| None),
        }
    }

    async fn move_to(
        &self,
        plan: Plan,
        claim: Claim,
        version: i32,
    ) -> Result<Option<Plan>, Unread> {
        let Connections { session, table, .. } = self.connections;
        let moved = Move { table, from: version, to: plan.version, durable: true };
        let committed = async {
            session.stage(&claim, &moved).await?;
            session.commit(claim, &moved, None).await
        };
        match committed.await {
            Ok(_) => Ok(Some(plan)),
            // The row existed already, at another version.
            Err(Failure::EndedTransaction) => Ok(None),
            Err(Failure::Commit(error)) if session.fault(&error) == Fault::Held => Ok(None),
            Err(failure) => {
                let words = || DbErr::Custom(failure.to_string());
                let error = failure.refusal().cloned().unwrap_or_else(words);
                Err(self.cannot("set the version", error).into())
            }
        }
    }

    fn reader<'a>(&'a self, transaction: &'a DatabaseTransaction) -> Reader<'a> {
        reader(self.registry, self.connections, transaction)
    }

    fn cannot(&self, operation: &str, error: DbErr) -> Error {
        self.connections.cannot(operation, None, error)
    }
}

async fn turn_for_table(wait: &mut Wait<'_>, table: &TableName) -> Result<(), Error> {
    wait.turn().await.map_err(|error| match error.kind() {
        ErrorKind::WaitTimeout => history_busy(table, wait.waited()),
        _ => error,
    })
}

async fn begin_reading(connections: &Connections<'_>) -> Result<DatabaseTransaction, Error> {
    let failed = |error| connections.cannot("read the tables of other tools", None, error);
    connections.session.begin_reading().await.map_err(failed)
}

fn reader<'a>(
    registry: &'a Registry,
    connections: &'a Connections<'a>,
    transaction: &'a DatabaseTransaction,
) -> Reader<'a> {
    let Connections { session, called, .. } = connections;
    Reader { session: &**session, transaction, registry, own: called }
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
