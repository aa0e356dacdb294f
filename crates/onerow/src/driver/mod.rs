//! The driver's errors: their words, their codes, and where the statement stands that failed.

// SeaORM has no driver's errors unless it has a driver.
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
