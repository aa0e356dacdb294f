//! onerow's promises, as specifications that run on every backend.

mod adopt;
mod atomic;
mod bad_states;
mod behind_a_proxy;
mod commit;
mod connection;
mod create_index;
mod crowds;
mod embedded;
mod engines;
mod failed_statements;
mod flushes;
mod from_migrator;
mod interface;
mod locks;
mod once;
mod outside_transaction;
mod registries;
mod seed;
mod session_state;
mod sqlite;
mod status;
mod stopping;
mod support;
mod untrusted_table;
