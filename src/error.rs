//! Why the app could not start, or stop.

use std::{
    io::{self, Write},
    net::SocketAddr,
};

/// Ends the process with exit code 1.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The pool could not be opened, migrated or closed.
    #[error(transparent)]
    Database(#[from] onerow::Error),
    /// The operating system does not let us listen for signals.
    #[error("cannot listen for SIGINT and SIGTERM")]
    Signals(#[source] io::Error),
    /// The address is taken, not ours, or not allowed.
    #[error("cannot listen on {address}")]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// What the operating system says about it.
        source: io::Error,
    },
    /// The listener broke.
    #[error("cannot serve")]
    Serve(#[source] io::Error),
}

impl Error {
    /// Prints it to stderr, with its cause, as the command line of the migrations does.
    pub fn print(&self) {
        match self {
            Self::Database(error) => onerow_cli::print_error(error),
            Self::Signals(source) | Self::Listen { source, .. } | Self::Serve(source) => {
                // If nobody reads stderr, `eprintln!` would panic.
                let _ = writeln!(io::stderr(), "error: {self}\n  caused by: {source}");
            }
        }
    }
}
