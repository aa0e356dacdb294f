//! The errors of the driver: their words, their codes, and the place of the statement that failed.

// If SeaORM has no driver, it does not have the type of a driver's errors.
#[cfg(not(any(feature = "postgres", feature = "sqlite")))]
mod none;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod sqlx;

#[cfg(not(any(feature = "postgres", feature = "sqlite")))]
pub use none::words;
#[cfg(not(any(feature = "postgres", feature = "sqlite")))]
pub(crate) use none::*;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use sqlx::words;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) use sqlx::*;

use std::{error::Error as StdError, iter::successors};

/// The words of an error and of its causes, down to those of the server.
pub(crate) fn causes(error: &(dyn StdError + 'static)) -> Vec<String> {
    let mut causes = Vec::new();
    for cause in successors(Some(error), |&cause| cause.source()) {
        if let Some(error) = cause.downcast_ref() {
            causes.push(words_and_place(error));
            break;
        }
        causes.push(cause.to_string());
    }
    causes
}
