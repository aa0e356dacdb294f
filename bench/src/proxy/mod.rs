//! Stands between a program and its PostgreSQL server: counts the traffic, and delays it.

mod frames;
mod traffic;

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, SystemTime},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    task::{JoinHandle, spawn_blocking},
    time::Instant,
};

pub use traffic::Traffic;
use traffic::{Dialogue, Event, Side};

/// A proxy. It goes when it is dropped.
///
/// It follows the protocol without TLS, so the URL has to say `sslmode=disable`.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    server: u16,
    /// The delay of each direction.
    delay: Duration,
    events: Mutex<Vec<Event>>,
}

impl Proxy {
    /// Starts in front of the server at this port of this machine.
    pub async fn start(server: u16, delay: Duration) -> io::Result<Self> {
        let listener = TcpListener::bind(local(0)).await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared { server, delay, events: Mutex::default() });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { port, shared, accepting })
    }

    /// The URL of a database on the server, through this proxy.
    pub fn url(&self, direct: &str) -> String {
        direct.replace(&format!(":{}/", self.shared.server), &format!(":{}/", self.port))
    }

    /// The traffic so far, on all connections.
    pub fn traffic(&self) -> Traffic {
        Traffic::of(self.shared.events().iter())
    }

    /// The traffic between two moments, in seconds of the wall clock.
    pub fn traffic_between(&self, from: f64, to: f64) -> Traffic {
        let events = self.shared.events();
        Traffic::of(events.iter().filter(|event| (from..=to).contains(&event.at)))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    fn events(&self) -> MutexGuard<'_, Vec<Event>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(serve(client, Arc::clone(&shared)));
    }
}

/// Serves one connection until both sides have closed it.
async fn serve(client: TcpStream, shared: Arc<Shared>) -> io::Result<()> {
    // Over a network, TCP itself begins a connection with a round trip.
    wait_until(Instant::now() + shared.delay * 2).await;
    let server = TcpStream::connect(local(shared.server)).await?;
    // Otherwise a small message would wait for the answer to the one before.
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let line = Line { shared: &shared, dialogue: Mutex::default() };
    tokio::join!(
        line.pump(Side::Client, from_client, to_server),
        line.pump(Side::Server, from_server, to_client)
    );
    Ok(())
}

struct Line<'a> {
    shared: &'a Shared,
    dialogue: Mutex<Dialogue>,
}

impl Line<'_> {
    /// Forwards one direction until its end.
    async fn pump(&self, side: Side, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let (queue, mut due) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
        let reading = async move {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(length @ 1..) = from.read(&mut buffer).await {
                let chunk = &buffer[..length];
                self.note(side, chunk);
                let _ = queue.send((Instant::now() + self.shared.delay, chunk.to_owned()));
            }
        };
        let writing = async move {
            while let Some((at, chunk)) = due.recv().await {
                wait_until(at).await;
                if to.write_all(&chunk).await.is_err() {
                    break;
                }
            }
            let _ = to.shutdown().await;
        };
        tokio::join!(reading, writing);
    }

    /// This comes before forwarding, so that an answer is always later than its question.
    fn note(&self, side: Side, chunk: &[u8]) {
        let mut dialogue = self.dialogue.lock().unwrap_or_else(PoisonError::into_inner);
        let at = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs_f64();
        let event = dialogue.follow(at, side, chunk);
        self.shared.events().push(event);
    }
}

/// tokio's timers round up to milliseconds, a tenth of the delay. A thread's sleep does not.
async fn wait_until(at: Instant) {
    let rest = at.saturating_duration_since(Instant::now());
    if !rest.is_zero() {
        let _ = spawn_blocking(move || thread::sleep(rest)).await;
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers each message of four bytes with the end of a statement, and goes when the client
    /// goes.
    async fn server() -> u16 {
        let listener = TcpListener::bind(local(0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut message = [0; 4];
            while client.read_exact(&mut message).await.is_ok() {
                client.write_all(b"C\0\0\0\x04").await.unwrap();
            }
        });
        port
    }

    async fn ask(proxy: &Proxy, times: usize) {
        let mut client = TcpStream::connect(local(proxy.port)).await.unwrap();
        for _ in 0..times {
            client.write_all(b"ask!").await.unwrap();
            client.read_exact(&mut [0; 5]).await.unwrap();
        }
    }

    #[tokio::test]
    async fn what_passes_is_counted() {
        let proxy = Proxy::start(server().await, Duration::ZERO).await.unwrap();
        ask(&proxy, 3).await;
        let traffic = Traffic { statements: 3, round_trips: 3, client_bytes: 12, server_bytes: 15 };
        assert_eq!(proxy.traffic(), traffic);
        assert_eq!(proxy.traffic_between(0.0, 1.0), Traffic::default());
    }

    #[tokio::test]
    async fn each_direction_is_delayed_and_the_connection_itself() {
        let proxy = Proxy::start(server().await, Duration::from_millis(20)).await.unwrap();
        let started = Instant::now();
        ask(&proxy, 2).await;
        assert!(started.elapsed() >= Duration::from_millis(3 * 40));
    }
}
