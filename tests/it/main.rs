//! End to end: the real programs, against real databases.

mod app;
mod entities;
mod harness;
mod migration_cli;
mod stopping;
