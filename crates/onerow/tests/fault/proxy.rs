//! Stands between a run and its server, counts the protocol's messages in both directions, and
//! springs a trap at one.
//!
//! Framing: <https://www.postgresql.org/docs/current/protocol-message-formats.html>.

use std::{
    future::pending,
    io,
    ops::ControlFlow,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
};

/// One message of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// Counted over all connections and both directions, from 0.
    pub number: usize,
    pub from: Side,
    /// The first byte; a space for a client's first message, which has none.
    pub tag: char,
    pub spot: Spot,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Client,
    Server,
}

/// The place of a message in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spot {
    /// The message that commits this migration.
    Commit(i32),
    /// A part of the answer to it.
    CommitAnswer(i32),
    Elsewhere,
}

/// What is to happen at a message.
#[derive(Debug, Clone, Copy)]
pub struct Trap {
    pub at: At,
    pub moment: Moment,
    pub then: Then,
}

#[derive(Debug, Clone, Copy)]
pub enum At {
    Message(usize),
    /// The client's message that commits this migration.
    Commit(i32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    BeforeForwarding,
    AfterForwarding,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The connection is closed on both sides.
    Cut,
    /// This and every other connection is closed, for good.
    CutForEver,
    /// Nothing passes on the connection until one side closes it.
    Hold,
}

/// A proxy. It goes when it is dropped.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    server: u16,
    trap: Option<Trap>,
    seen: Mutex<Vec<Message>>,
    sprung: Mutex<Option<Message>>,
    springs: Notify,
    is_down: AtomicBool,
    /// Whether nothing passes on any connection, not even its end.
    is_silent: AtomicBool,
    /// What ends a connection, and the port by which the server knows it.
    links: Mutex<Vec<(u16, Arc<Notify>)>>,
}

impl Proxy {
    /// Starts in front of the server at this port of this machine.
    pub async fn start(server: u16, trap: Option<Trap>) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            server,
            trap,
            seen: Mutex::default(),
            sprung: Mutex::default(),
            springs: Notify::new(),
            is_down: AtomicBool::new(false),
            is_silent: AtomicBool::new(false),
            links: Mutex::default(),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { port, shared, accepting })
    }

    /// The URL of a database on the server, through this proxy.
    pub fn url(&self, direct: &str) -> String {
        let port = format!(":{}/", self.shared.server);
        direct.replace(&port, &format!(":{}/", self.port)) + "?sslmode=disable"
    }

    /// All messages so far.
    pub fn seen(&self) -> Vec<Message> {
        locked(&self.shared.seen).clone()
    }

    /// The message that sprang the trap.
    pub fn sprung(&self) -> Option<Message> {
        *locked(&self.shared.sprung)
    }

    /// Returns when the trap is sprung.
    pub async fn springs(&self) {
        self.shared.springs.notified().await;
    }

    /// From now on nothing of either side passes, as on a dead line.
    pub fn fall_silent(&self) {
        self.shared.is_silent.store(true, Ordering::Relaxed);
    }

    /// Cuts the connection that the server knows by this port; false if there is none.
    pub fn cut(&self, port: u16) -> bool {
        let links = locked(&self.shared.links);
        let found = links.iter().find(|(known, _)| *known == port);
        found.inspect(|(_, cut)| cut.notify_one()).is_some()
    }
}

/// Its connections go with it, as if both ends of a silent line had given up.
impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        locked(&self.shared.links).iter().for_each(|(_, cut)| cut.notify_one());
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(serve(client, Arc::clone(&shared)));
    }
}

/// Serves one connection until one side or the trap closes it.
async fn serve(client: TcpStream, shared: Arc<Shared>) {
    if shared.is_down.load(Ordering::Relaxed) {
        return;
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", shared.server)).await else {
        return;
    };
    // Otherwise a message, which is written by itself, would wait for the answer to the one before.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let cut = shared.link(to_server.local_addr().map_or(0, |address| address.port()));
    let link =
        Link { shared: &shared, dialogue: Mutex::default(), is_held: AtomicBool::new(false) };
    tokio::select! {
        () = cut.notified() => (),
        () = link.pump(Side::Client, from_client, to_server) => (),
        () = link.pump(Side::Server, from_server, to_client) => (),
    }
}

impl Shared {
    /// Notes a connection. Notifying the result ends it.
    fn link(&self, port: u16) -> Arc<Notify> {
        let cut = Arc::new(Notify::new());
        locked(&self.links).push((port, Arc::clone(&cut)));
        cut
    }

    /// The trap, if it is to spring now. It springs once, because a run may commit the same
    /// migration again.
    fn trap_for(&self, message: &Message) -> Option<Trap> {
        let mut sprung = locked(&self.sprung);
        let trap = self.trap.filter(|trap| sprung.is_none() && trap.is_for(message))?;
        *sprung = Some(*message);
        Some(trap)
    }
}

struct Link<'a> {
    shared: &'a Shared,
    dialogue: Mutex<Dialogue>,
    is_held: AtomicBool,
}

/// The state of one connection of a run.
#[derive(Default)]
struct Dialogue {
    /// The version whose commit is not yet answered in full.
    committing: Option<i32>,
}

impl Link<'_> {
    /// Forwards one direction, message by message.
    async fn pump(
        &self,
        side: Side,
        from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
    ) {
        let mut from = BufReader::new(from);
        let mut is_first = side == Side::Client;
        while let Ok(bytes) = read_message(&mut from, is_first).await {
            let message = self.note(side, is_first, &bytes);
            is_first = false;
            let trap = self.shared.trap_for(&message);
            let is_withheld = trap.is_some_and(|trap| trap.moment == Moment::BeforeForwarding)
                || self.is_held.load(Ordering::Relaxed)
                || self.shared.is_silent.load(Ordering::Relaxed);
            if !is_withheld && to.write_all(&bytes).await.is_err() {
                return;
            }
            if let Some(trap) = trap
                && self.spring(trap.then).is_break()
            {
                return;
            }
        }
        if self.shared.is_silent.load(Ordering::Relaxed) {
            pending::<()>().await;
        }
    }

    fn note(&self, side: Side, is_first: bool, bytes: &[u8]) -> Message {
        let (tag, text) = if is_first {
            (' ', String::new())
        } else {
            (bytes[0].into(), String::from_utf8_lossy(&bytes[5..]).into_owned())
        };
        let spot = locked(&self.dialogue).follow(side, tag, text.trim_end_matches('\0'));
        let mut seen = locked(&self.shared.seen);
        let message = Message { number: seen.len(), from: side, tag, spot };
        seen.push(message);
        message
    }

    /// Whether the connection is to be closed.
    fn spring(&self, then: Then) -> ControlFlow<()> {
        self.shared.is_down.store(then == Then::CutForEver, Ordering::Relaxed);
        self.is_held.store(then == Then::Hold, Ordering::Relaxed);
        self.shared.springs.notify_one();
        if then == Then::Hold { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

impl Dialogue {
    fn follow(&mut self, side: Side, tag: char, text: &str) -> Spot {
        match (side, tag, self.committing) {
            (Side::Client, 'Q', _) => {
                self.committing = committed(text);
                self.committing.map_or(Spot::Elsewhere, Spot::Commit)
            }
            (Side::Server, _, Some(version)) => {
                if tag == 'Z' {
                    self.committing = None;
                }
                Spot::CommitAnswer(version)
            }
            _ => Spot::Elsewhere,
        }
    }
}

/// The version to which a message moves the row before it commits.
fn committed(message: &str) -> Option<i32> {
    // The schema does not matter.
    let (_, update) = message.split_once("schema_migration SET version = ")?;
    let (version, rest) = update.split_once(' ')?;
    rest.contains("; COMMIT").then(|| version.parse().ok())?
}

impl Trap {
    fn is_for(self, message: &Message) -> bool {
        match self.at {
            At::Message(number) => message.number == number,
            At::Commit(version) => message.spot == Spot::Commit(version),
        }
    }
}

/// Reads one message: a byte for its kind, except in a client's first, then its length, which
/// includes itself.
async fn read_message(from: &mut (impl AsyncRead + Unpin), is_first: bool) -> io::Result<Vec<u8>> {
    let mut message = Vec::new();
    if !is_first {
        message.push(from.read_u8().await?);
    }
    let length = from.read_u32().await?;
    message.extend(length.to_be_bytes());
    let start = message.len();
    let rest = usize::try_from(length).map_err(io::Error::other)?.saturating_sub(4);
    message.resize(start + rest, 0);
    from.read_exact(&mut message[start..]).await?;
    Ok(message)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
