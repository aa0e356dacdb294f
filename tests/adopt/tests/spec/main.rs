//! What the tools leave behind.

mod fixtures;
mod interruptions;
mod support;
mod tables;
