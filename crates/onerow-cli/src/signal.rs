//! Ctrl-C and SIGTERM. A thread of its own listens, because a migration's code may compute or block
//! for long.

use std::{io, process, sync::Arc, thread};

use tokio::{
    runtime,
    sync::watch::{self, Receiver, Sender},
};

use super::output::Output;

/// The first signal asks the run to stop, the second ends the process.
pub(super) struct Signals {
    heard: Receiver<Option<u8>>,
}

impl Signals {
    /// Listens from now on. Without a handler, a signal ends the process; the database survives that
    /// too.
    pub(super) fn listen(output: &Arc<Output>) -> io::Result<Self> {
        let (sender, heard) = watch::channel(None);
        let output = Arc::clone(output);
        let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
        // The handlers are set before anything begins.
        let stream = {
            let _entered = runtime.enter();
            Stream::new()?
        };
        thread::Builder::new()
            .name("signals".into())
            .spawn(move || runtime.block_on(hear(stream, &sender, &output)))?;
        Ok(Self { heard })
    }

    /// Ends when a signal has come.
    pub(super) fn received(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut heard = self.heard.clone();
        async move {
            if heard.wait_for(Option::is_some).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// The exit code that shells give a process that a signal ended: 128 and the signal's number.
    pub(super) fn exit_code(&self) -> Option<u8> {
        self.heard.borrow().map(|number| 128 + number)
    }
}

async fn hear(mut signals: Stream, heard: &Sender<Option<u8>>, output: &Output) {
    let number = signals.next().await;
    output.stopping();
    // If the process is about to end, nobody listens any more.
    let _ = heard.send(Some(number));
    let number = signals.next().await;
    output.ended_at_once(128 + number);
    process::exit(128 + i32::from(number));
}

#[cfg(unix)]
use unix::Stream;

#[cfg(unix)]
mod unix {
    use std::io;

    use tokio::signal::unix::{Signal, SignalKind, signal};

    pub(super) struct Stream {
        interrupt: Signal,
        terminate: Signal,
    }

    impl Stream {
        pub(super) fn new() -> io::Result<Self> {
            let interrupt = signal(SignalKind::interrupt())?;
            Ok(Self { interrupt, terminate: signal(SignalKind::terminate())? })
        }

        /// The number of the next signal.
        pub(super) async fn next(&mut self) -> u8 {
            tokio::select! {
                _ = self.interrupt.recv() => 2,
                _ = self.terminate.recv() => 15,
            }
        }
    }
}

#[cfg(not(unix))]
struct Stream;

#[cfg(not(unix))]
impl Stream {
    #[allow(clippy::unnecessary_wraps)] // As the other's.
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> u8 {
        match tokio::signal::ctrl_c().await {
            Ok(()) => 2,
            Err(_) => std::future::pending().await,
        }
    }
}
