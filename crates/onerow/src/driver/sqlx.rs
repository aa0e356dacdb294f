//! The errors of sqlx, which are inside SeaORM's.

use std::{
    borrow::Cow,
    error::Error as StdError,
    fmt::{self, Display},
    io,
    sync::Arc,
    time::Duration,
};

use sea_orm::{
    DbErr, RuntimeErr,
    sqlx::{
        self,
        error::{DatabaseError, ErrorKind},
    },
};

use crate::place::{Place, Position};

/// The server's own words in an error, without those that SeaORM and sqlx put around them.
#[must_use]
pub fn words(error: &DbErr) -> String {
    match error {
        DbErr::Custom(text) | DbErr::Migration(text) => text.clone(),
        other => error_of(other).map_or_else(|| other.to_string(), words_of),
    }
}

fn words_of(error: &sqlx::Error) -> String {
    if is_waiting_for_rows(error) {
        return onerow_sql::psql::FROM.into();
    }
    let Some(refusal) = error.as_database_error() else {
        return error.to_string();
    };
    #[cfg_attr(not(feature = "postgres"), expect(unused_mut, reason = "only PostgreSQL says more"))]
    let mut words = refusal.message().to_owned();
    #[cfg(feature = "postgres")]
    if let Some(refusal) = refusal.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
        for (name, text) in [("detail", refusal.detail()), ("hint", refusal.hint())] {
            words.extend(text.map(|text| format!("; {name}: {text}")));
        }
    }
    words
}

/// The server's own words in an error, with the place of the statement if that is known.
pub(crate) fn words_and_place(error: &DbErr) -> String {
    let place = error_of(error).and_then(sqlx::Error::as_database_error).and_then(StdError::source);
    match place.and_then(|place| place.downcast_ref::<Place>()) {
        Some(place) => place.after(&words(error)),
        None => words(error),
    }
}

/// The driver's error inside SeaORM's.
pub(crate) fn error_of(error: &DbErr) -> Option<&sqlx::Error> {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => Some(error),
        _ => None,
    }
}

/// Wraps the driver's error in SeaORM's.
pub(crate) fn query_error(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(Arc::new(error)))
}

/// The code of a server's refusal.
pub(crate) fn code(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error().and_then(DatabaseError::code)
}

/// The error of a server that does not answer.
pub(crate) fn silence(waited: Duration) -> DbErr {
    let words = format!("the server has not answered for {} s", waited.as_secs());
    query_error(sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, words)))
}

/// Whether an error is one of [`silence`].
pub(crate) fn is_silence(error: &DbErr) -> bool {
    let Some(sqlx::Error::Io(error)) = error_of(error) else { return false };
    error.kind() == io::ErrorKind::TimedOut
}

/// Whether the server waits for the rows of a `COPY … FROM stdin`. Then the driver has given up,
/// and the session answers nothing more, not even a rollback.
pub(crate) fn waits_for_rows(error: &DbErr) -> bool {
    error_of(error).is_some_and(is_waiting_for_rows)
}

fn is_waiting_for_rows(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Protocol(text) if text.contains("message: CopyInResponse"))
}

/// Adds a place to an error, as its cause. `place` gets the position that the server names.
///
/// All but the cause stays the driver's own, so that code can still ask for its code or its type.
pub(crate) fn placed(error: DbErr, place: impl FnOnce(Option<Position>) -> Place) -> DbErr {
    let with_place = |error| RuntimeErr::SqlxError(with_place(error, place));
    match error {
        DbErr::Exec(RuntimeErr::SqlxError(error)) => DbErr::Exec(with_place(error)),
        DbErr::Query(RuntimeErr::SqlxError(error)) => DbErr::Query(with_place(error)),
        other => other,
    }
}

fn with_place(
    error: Arc<sqlx::Error>,
    place: impl FnOnce(Option<Position>) -> Place,
) -> Arc<sqlx::Error> {
    match Arc::try_unwrap(error) {
        Ok(sqlx::Error::Database(refusal)) => {
            let place = place(position(&*refusal));
            Arc::new(sqlx::Error::Database(Box::new(Placed { refusal, place })))
        }
        Ok(other) => Arc::new(other),
        Err(shared) => shared,
    }
}

/// The position that the server names. SQLite's driver does not tell one.
#[cfg_attr(not(feature = "postgres"), allow(unused_variables))]
fn position(refusal: &dyn DatabaseError) -> Option<Position> {
    #[cfg(feature = "postgres")]
    if let Some(refusal) = refusal.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
        return refusal.position().map(|position| match position {
            sqlx::postgres::PgErrorPosition::Original(number) => Position { number, query: None },
            sqlx::postgres::PgErrorPosition::Internal { position, query } => {
                Position { number: position, query: Some(query.to_owned()) }
            }
        });
    }
    None
}

/// The server's refusal of a statement, with the place of that statement as its cause.
#[derive(Debug)]
struct Placed {
    refusal: Box<dyn DatabaseError>,
    place: Place,
}

impl Display for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.refusal.fmt(f)
    }
}

impl StdError for Placed {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.place)
    }
}

impl DatabaseError for Placed {
    fn message(&self) -> &str {
        self.refusal.message()
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        self.refusal.code()
    }

    fn as_error(&self) -> &(dyn StdError + Send + Sync + 'static) {
        self.refusal.as_error()
    }

    fn as_error_mut(&mut self) -> &mut (dyn StdError + Send + Sync + 'static) {
        self.refusal.as_error_mut()
    }

    fn into_error(self: Box<Self>) -> Box<dyn StdError + Send + Sync + 'static> {
        self.refusal.into_error()
    }

    fn is_transient_in_connect_phase(&self) -> bool {
        self.refusal.is_transient_in_connect_phase()
    }

    fn constraint(&self) -> Option<&str> {
        self.refusal.constraint()
    }

    fn table(&self) -> Option<&str> {
        self.refusal.table()
    }

    fn kind(&self) -> ErrorKind {
        self.refusal.kind()
    }
}
