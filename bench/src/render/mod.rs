//! Turns raw data into tables, plots, and sentences with figures.

pub mod figure;
pub mod page;
pub mod plot;
pub mod readme;
