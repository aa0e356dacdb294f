//! What the tools leave behind, and how onerow takes it over.

mod adopt;
mod fixtures;
mod interruptions;
mod support;
mod tables;
