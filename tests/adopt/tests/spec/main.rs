//! What the tools leave behind, and onerow takes over.

mod adopt;
mod fixtures;
mod interruptions;
mod support;
mod tables;
