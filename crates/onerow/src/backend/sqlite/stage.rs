//! The stages of a transaction: a savepoint before each migration, the version moved behind it.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr};

use super::refuse_if;
use crate::{backend::version_row::Move, driver::words, failure::Failure};

/// Marks where a migration begins: a savepoint to go back to, and within it a second one, which
/// tells whether the first is still there.
pub(super) const BEGIN: &str = "SAVEPOINT onerow; SAVEPOINT onerow_within";

/// Fails if the migration ended the transaction, and so left no savepoint to go back to.
const PROVE: &str = "RELEASE onerow_within; SAVEPOINT onerow_within";

/// Moves the version, unless the `refusal` fails, and marks where the next migration begins.
pub(super) async fn stage(
    refusal: &str,
    claim: &DatabaseTransaction,
    moved: &Move<'_>,
) -> Result<(), Failure> {
    let (update, refuse_unmoved) = (moved.update("="), refuse_if("changes() <> 1"));
    // This is all in one message to the connection's thread. The version moves with each migration:
    // a migration that commits by itself also commits those before it.
    let message = format!("{refusal}{PROVE}; {update}; {refuse_unmoved}RELEASE onerow; {BEGIN}");
    claim.execute_unprepared(&message).await.map(drop).map_err(ended_or_refused)
}

/// Fails if the migration ended the transaction.
pub(super) async fn prove(claim: &DatabaseTransaction) -> Result<(), Failure> {
    claim.execute_unprepared(PROVE).await.map(drop).map_err(ended_or_refused)
}

/// Goes back to where the migration began.
pub(super) async fn undo(claim: &DatabaseTransaction) -> Result<(), DbErr> {
    claim.execute_unprepared("ROLLBACK TO onerow").await.map(drop)
}

fn ended_or_refused(error: DbErr) -> Failure {
    let words = words(&error);
    let ended = words.starts_with("no such savepoint") || words.starts_with("integer overflow");
    if ended { Failure::EndedTransaction } else { Failure::Commit(error) }
}
