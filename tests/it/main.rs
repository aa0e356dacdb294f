//! End to end: the real programs, against real databases.

mod app;
mod databases;
mod entities;
mod guides;
mod harness;
mod init;
mod migration_cli;
mod sea_orm_cli;
mod stopping;
