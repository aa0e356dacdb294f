//! End to end: the real programs, against real databases.

mod app;
mod entities;
mod guides;
mod harness;
mod init;
mod migration_cli;
mod stopping;
