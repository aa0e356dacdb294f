//! From raw data to what is read: tables, plots, and sentences with figures in them.

pub mod figure;
pub mod page;
pub mod plot;
pub mod readme;
