//! The close look at a migration that the quick check has refused.

use std::collections::BTreeSet;

use onerow_sql::quoted_name;
use sea_orm::{ConnectionTrait, DatabaseTransaction};

use super::{
    facts::{Facts, tables_since},
    orphans::{Orphans, more, orphans},
    refuse_if,
    seen::{Seen, is_internal},
    session::SqliteSession,
    stage::{prove, undo},
};
use crate::{
    backend::grouping::{Doubt, Settled},
    failure::Failure,
};

/// Finds out what the migration has changed, notes what it leaves in the session, and undoes it if
/// it may have left orphans.
pub(super) async fn settle_slowly(
    session: &SqliteSession,
    claim: &DatabaseTransaction,
    told: i64,
    written: &BTreeSet<String>,
    doubt: Doubt,
) -> Result<Settled, Failure> {
    prove(claim).await?;
    let (mut seen, children) = look(session, claim, told, written, doubt).await?;
    let (after, _) = orphans(claim, &children).await;
    let (settled, known) = if more(&seen.orphans, &after, |table| seen.has(table)).is_none() {
        seen.forget_gone();
        (Settled::Apart, after)
    } else {
        let known = undo_and_count(claim, &seen, &children, after).await?;
        // When it runs again, it must not find what it has set.
        session.ledger.spoil();
        (Settled::Undone, known)
    };
    seen.keep(&children, known);
    *session.ledger.seen() = seen;
    Ok(settled)
}

/// Looks at the session and the database again, and tells which tables may hold orphans.
async fn look(
    session: &SqliteSession,
    claim: &DatabaseTransaction,
    told: i64,
    written: &BTreeSet<String>,
    doubt: Doubt,
) -> Result<(Seen, BTreeSet<String>), Failure> {
    let facts = Facts::of(claim).await.map_err(Failure::Commit)?;
    let before = session.ledger.seen().clone();
    if facts.settings != before.facts.settings || facts.has_temporary(claim).await {
        session.ledger.spoil();
    }
    let tables = tables_since(claim, 0).await.map_err(Failure::Commit)?;
    let mut changed = before.differing(&tables);
    changed.extend(written.iter().cloned());
    let only_rows = facts.schema_version == before.facts.schema_version;
    let seen = Seen::of(facts, tables, told, before.orphans);
    if !only_rows {
        changed.extend(remade(claim, &seen).await);
    }
    let all = doubt.rows
        || seen.untold != before.untold
        || written.iter().any(|table| is_internal(table));
    let children = if all { seen.all_children() } else { seen.children_of(&changed) };
    Ok((seen, children))
}

/// The parents that may have been dropped and made again by the same words. Such a parent is empty
/// now, or SQLite has told of its rows, or its rows come from the query that made it.
async fn remade(claim: &DatabaseTransaction, seen: &Seen) -> Vec<String> {
    let mut remade = Vec::new();
    for parent in seen.parents() {
        let rows = format!("EXISTS (SELECT 1 FROM main.{})", quoted_name(&parent));
        if !seen.has_own_key(&parent)
            || claim.execute_unprepared(&refuse_if(&format!("NOT {rows}"))).await.is_err()
        {
            remade.push(parent);
        }
    }
    remade
}

/// Undoes the migration and counts the orphans that were there before it. It fails if there were
/// fewer; otherwise it gives the orphans that are known now.
async fn undo_and_count(
    claim: &DatabaseTransaction,
    seen: &Seen,
    children: &BTreeSet<String>,
    after: Orphans,
) -> Result<Orphans, Failure> {
    undo(claim).await.map_err(Failure::Commit)?;
    let former = tables_since(claim, 0).await.map_err(Failure::Commit)?;
    let dropped: BTreeSet<_> = former.into_keys().filter(|table| !seen.has(table)).collect();
    let (mut before, unknown) = orphans(claim, children).await;
    before.extend(orphans(claim, &dropped).await.0);
    let (untellable, told): (Orphans, Orphans) =
        after.into_iter().partition(|((child, _), _)| unknown.contains(child));
    if let Some(failure) = more(&before, &told, |table| seen.has(table)) {
        return Err(failure);
    }
    before.extend(untellable);
    Ok(before)
}
