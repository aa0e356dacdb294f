//! The driver's refusal of a statement, with the place of that statement as its cause.

use std::{
    borrow::Cow,
    error::Error,
    fmt::{self, Display},
    sync::Arc,
};

use sea_orm::{
    DbErr, RuntimeErr,
    sqlx::{
        self,
        error::{DatabaseError, ErrorKind},
    },
};

use crate::place::{Place, Position};

/// The error with its place, which is made of where the server says that it is.
///
/// All but the cause is the driver's own, so that whoever asks for its code or its type gets that.
pub(crate) fn placed(error: DbErr, place: impl FnOnce(Option<Position>) -> Place) -> DbErr {
    let with_place = |error| RuntimeErr::SqlxError(with_place(error, place));
    match error {
        DbErr::Exec(RuntimeErr::SqlxError(error)) => DbErr::Exec(with_place(error)),
        DbErr::Query(RuntimeErr::SqlxError(error)) => DbErr::Query(with_place(error)),
        other => other,
    }
}

fn with_place(error: Arc<sqlx::Error>, place: impl FnOnce(Option<Position>) -> Place) -> Arc<sqlx::Error> {
    match Arc::try_unwrap(error) {
        Ok(sqlx::Error::Database(refusal)) => {
            let place = place(position(&*refusal));
            Arc::new(sqlx::Error::Database(Box::new(Placed { refusal, place })))
        }
        Ok(other) => Arc::new(other),
        Err(shared) => shared,
    }
}

/// SQLite's driver does not tell.
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

/// The place that an error was given.
pub(crate) fn place(error: &DbErr) -> Option<&Place> {
    let refusal = super::driver::error_of(error)?.as_database_error()?;
    refusal.source()?.downcast_ref()
}

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

impl Error for Placed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
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

    fn as_error(&self) -> &(dyn Error + Send + Sync + 'static) {
        self.refusal.as_error()
    }

    fn as_error_mut(&mut self) -> &mut (dyn Error + Send + Sync + 'static) {
        self.refusal.as_error_mut()
    }

    fn into_error(self: Box<Self>) -> Box<dyn Error + Send + Sync + 'static> {
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
