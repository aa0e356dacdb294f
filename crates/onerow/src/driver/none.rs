//! The same for a build without a driver, such as the program `onerow`.

use std::time::Duration;

use sea_orm::DbErr;

use crate::place::{Place, Position};

/// The server's own words in an error, without those that SeaORM and sqlx put around them.
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
