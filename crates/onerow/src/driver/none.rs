//! The same for a build without a driver, as the program `onerow` is: there is nothing to tell.

use std::{error::Error as StdError, time::Duration};

use sea_orm::DbErr;

use crate::place::{Place, Position};

/// The server's own words in an error, without what SeaORM and sqlx put before and behind them.
#[must_use]
pub fn words(error: &DbErr) -> String {
    match error {
        DbErr::Custom(text) | DbErr::Migration(text) => text.clone(),
        other => other.to_string(),
    }
}

pub(crate) fn words_and_place(error: &DbErr) -> String {
    words(error)
}

/// This error and its causes, outermost first, down to the words of the server.
pub(crate) fn causes(error: &(dyn StdError + 'static)) -> Vec<String> {
    let mut causes = Vec::new();
    for cause in std::iter::successors(Some(error), |&cause| cause.source()) {
        if let Some(error) = cause.downcast_ref() {
            causes.push(words_and_place(error));
            break;
        }
        causes.push(cause.to_string());
    }
    causes
}

pub(crate) fn silence(waited: Duration) -> DbErr {
    DbErr::Custom(format!("the server has not answered for {} s", waited.as_secs()))
}

pub(crate) fn is_silence(_: &DbErr) -> bool {
    false
}

pub(crate) fn waits_for_rows(_: &DbErr) -> bool {
    false
}

pub(crate) fn placed(error: DbErr, _: impl FnOnce(Option<Position>) -> Place) -> DbErr {
    error
}
