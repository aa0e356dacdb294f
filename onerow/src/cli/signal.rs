//! Ctrl-C and SIGTERM.

/// Which signal came, if one did.
#[derive(Debug, Default)]
pub(super) struct Signals {
    number: Option<u8>,
}

impl Signals {
    /// Done when a signal comes.
    pub(super) async fn received(&mut self) {
        match next().await {
            Some(number) => {
                self.number = Some(number);
                // The run is stopping in good order. Who asks again does not want to wait for that.
                tokio::spawn(async {
                    if let Some(number) = next().await {
                        std::process::exit(128 + i32::from(number));
                    }
                });
            }
            // Without a handler the signal ends the process, which the database survives as well.
            None => std::future::pending().await,
        }
    }

    /// What a shell reports of a process that the signal ended: 128 and its number.
    pub(super) fn exit_code(&self) -> Option<u8> {
        self.number.map(|number| 128 + number)
    }
}

/// The number of the next signal; `None` where none can be waited for.
#[cfg(unix)]
async fn next() -> Option<u8> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut interrupt = signal(SignalKind::interrupt()).ok()?;
    let mut terminate = signal(SignalKind::terminate()).ok()?;
    tokio::select! {
        _ = interrupt.recv() => Some(2),
        _ = terminate.recv() => Some(15),
    }
}

#[cfg(not(unix))]
async fn next() -> Option<u8> {
    tokio::signal::ctrl_c().await.ok().map(|()| 2)
}
