//! The meaning of a driver's error.

use sea_orm::DbErr;

use crate::error::{Error, ErrorKind, still_at};

/// The meaning of a driver's error for a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    NoTable,
    NoColumn,
    /// The search path names no schema in which a table could be made.
    NoSchema,
    NotNull,
    /// Another session is making the same table.
    CreateRace,
    /// The server has no connection left to give.
    Crowded,
    /// Another session holds a lock, or the server broke a deadlock: trying again may succeed.
    Held,
    ReadOnly,
    Denied,
    Unreachable,
    Authentication,
    NoDatabase,
    /// The connection broke. Its last statement may or may not have been executed.
    Lost,
    Other,
}

/// The error of a connection that could not be opened.
pub(super) fn connect_error(fault: Fault, server: &str, source: DbErr) -> Error {
    let error = match fault {
        Fault::Unreachable => {
            Error::new(ErrorKind::ServerUnreachable, format!("no server answers at {server}"))
        }
        Fault::Authentication => Error::new(
            ErrorKind::AuthenticationFailed,
            format!("{server} rejected the user name or password"),
        ),
        Fault::NoDatabase => {
            Error::new(ErrorKind::NoSuchDatabase, format!("there is no database {server}"))
        }
        Fault::Crowded => return crowded(server, source),
        _ => Error::new(ErrorKind::Connect, format!("cannot connect to {server}")),
    };
    error.because(source)
}

/// The error of a server that has no connection left to give.
pub(crate) fn crowded(server: &str, source: DbErr) -> Error {
    let message = format!("{server} has no connection to give");
    Error::new(ErrorKind::TooManyConnections, message).because(source)
}

/// The error of a user that lacks the right to an operation.
pub(crate) fn permission_denied(operation: &str, version: Option<i32>, source: DbErr) -> Error {
    let message = format!("no right to {operation}{}; nothing more was changed", still_at(version));
    Error::new(ErrorKind::PermissionDenied, message).at(version).because(source)
}
