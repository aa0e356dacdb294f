//! What onerow promises, as specifications that run on every backend.

mod atomic;
mod bad_states;
mod behind_a_proxy;
mod connection;
mod embedded;
mod flushes;
mod locks;
mod once;
mod outside_transaction;
mod seed;
mod sqlite;
mod status;
mod stopping;
mod support;
