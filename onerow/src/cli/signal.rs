//! Ctrl-C and SIGTERM.

use tokio::signal::unix::{SignalKind, signal};

/// Which signal came, if one did.
#[derive(Debug, Default)]
pub(super) struct Signals {
    number: Option<u8>,
}

impl Signals {
    /// Done when a signal comes.
    pub(super) async fn received(&mut self) {
        let (Ok(mut interrupt), Ok(mut terminate)) =
            (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            // Without a handler the signal ends the process, which the database survives as well.
            return std::future::pending().await;
        };
        let number = tokio::select! {
            _ = interrupt.recv() => 2,
            _ = terminate.recv() => 15,
        };
        self.number = Some(number);
    }

    /// What a shell reports of a process that the signal ended: 128 and its number.
    pub(super) fn exit_code(&self) -> Option<u8> {
        self.number.map(|number| 128 + number)
    }
}
