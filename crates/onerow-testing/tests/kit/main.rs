//! The promises of the test kit, as its users see them.

mod apply;
mod databases;
mod programs;
mod roles;
mod rows;
mod servers;
mod templates;
