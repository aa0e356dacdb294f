//! What onerow promises, as specifications that run on every backend.

mod atomic;
mod bad_states;
mod connection;
mod once;
mod outside_transaction;
mod seed;
mod sqlite;
mod status;
mod support;
