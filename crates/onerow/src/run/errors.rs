//! The errors of a run that does not get to its target.

use sea_orm::DbErr;

use crate::{
    error::{Error, ErrorKind, now_at, still_at},
    failure::Failure,
    migration::module_name,
};

pub(crate) fn ahead(version: i32, latest: i32) -> Error {
    let message = format!(
        "the database is at version {version}, ahead of this build, whose last migration is \
         {latest}; nothing was changed"
    );
    Error::new(ErrorKind::Ahead, message).at(version)
}

pub(crate) fn target_beyond_latest(target: i32, latest: i32) -> Error {
    let range = if latest < 0 { "none".into() } else { format!("0 to {latest}") };
    let message =
        format!("there is no migration {target}: this build has {range}; nothing was changed");
    Error::new(ErrorKind::TargetBeyondLatest, message)
}

pub(crate) fn target_below_version(target: i32, version: i32) -> Error {
    let message = format!(
        "the database is at version {version} and cannot go back to {target}: migrations only go \
         forward"
    );
    Error::new(ErrorKind::TargetBelowVersion, message).at(version)
}

/// `rolled_back` says that all that the migration did is undone. The version was read after the
/// failure.
pub(super) fn migration_failed(
    migration: i32,
    version: Option<i32>,
    rolled_back: bool,
    failure: Failure,
) -> Error {
    let undone = match failure {
        _ if rolled_back => " and was rolled back",
        Failure::EndedTransaction => "",
        // Only the move of the version was left to do.
        Failure::Commit(_) => " outside a transaction, after its work was done",
        _ => " outside a transaction, so its work may be half done",
    };
    let message = format!("migration {} failed{undone}{}", module_name(migration), now_at(version));
    let error = Error::new(ErrorKind::MigrationFailed, message).at(version).of_migration(migration);
    error.with_causes(failure.causes()).because(failure)
}

pub(crate) fn cancelled(version: Option<i32>) -> Error {
    let message =
        format!("stopped as told, before the next migration was complete{}", still_at(version));
    Error::new(ErrorKind::Cancelled, message).at(version)
}

/// A migration outside a transaction needs a second connection, and a pooler serves only one.
pub(super) fn one_connection(migration: i32, version: i32) -> Error {
    let message = format!(
        "{} runs outside a transaction and needs two connections at once, but the server, or a \
         pooler in front of it, serves only one{}",
        module_name(migration),
        still_at(Some(version))
    );
    Error::new(ErrorKind::OneConnection, message).at(version).of_migration(migration)
}

pub(super) fn commit_in_doubt(migration: i32, source: DbErr) -> Error {
    let message = format!(
        "the connection was lost during the commit of {}; the database is at version {migration} \
         or an earlier one",
        module_name(migration)
    );
    Error::new(ErrorKind::CommitInDoubt, message).of_migration(migration).because(source)
}
