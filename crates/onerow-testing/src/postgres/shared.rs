//! The server that the test processes of a user share: those of one `cargo test`, or one for each
//! test under nextest.

use std::{
    fs::{self, File, OpenOptions},
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, Write},
    os::unix::{fs::OpenOptionsExt, net::UnixStream},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use url::Url;

use super::{
    installed,
    server::{PostgresServer, SETTINGS, ServerError, random_hex},
    supervisor::SCRIPT,
};
use crate::scratch;

/// Settings for speed. A server that a test kills on purpose should not have them.
const FOR_SHORT_LIVES: &[(&str, &str)] = &[
    // The socket alone: no password to hash, and no port that somebody else may take.
    ("listen_addresses", ""),
    ("autovacuum", "off"),
    ("jit", "off"),
    ("log_checkpoints", "off"),
];

/// How long the server waits for another guest. `cargo test` runs one program after the other.
const GRACE_SECONDS: u32 = 10;

/// How long a busy machine may keep the supervisor from opening its door.
const DOOR_OPENS_WITHIN: Duration = Duration::from_secs(10);

/// How often to look whether it has.
const POLL: Duration = Duration::from_millis(2);

/// A shared server's address, which the next process reads from a file.
#[derive(Debug, Clone)]
pub(super) struct Address {
    pub(super) dir: PathBuf,
    pub(super) port: u16,
    /// The process ids of its supervising shell and of the postmaster.
    pub(super) supervisor: i32,
    pub(super) postmaster: i32,
}

/// This process as a guest of a shared server. The server stays as long as the guest, and the guest
/// ends with the process, however that ends.
pub(super) struct Guest {
    address: Address,
    _door: File,
}

impl Guest {
    /// Joins the running server, or starts it.
    pub(super) fn come() -> Result<Self, ServerError> {
        let bin_dir = installed::bin_dir()?;
        let dir = scratch::dir("postgres").map_err(ServerError::Files)?;
        Self::come_to(&dir.join(name(&bin_dir)), GRACE_SECONDS)
    }

    /// The same, with the file that holds the server's address.
    fn come_to(file: &Path, grace_seconds: u32) -> Result<Self, ServerError> {
        let _starts_alone =
            scratch::lock(&file.with_extension("lock")).map_err(ServerError::Files)?;
        if let Some(address) = Address::read(file) {
            if let Some(guest) = Self::of(&address) {
                return Ok(guest);
            }
            address.clear();
        }
        let address = PostgresServer::start_with(FOR_SHORT_LIVES)?.share(grace_seconds)?;
        address.write(file).map_err(ServerError::Files)?;
        let gone =
            || ServerError::Files(io::Error::other("the server that was just started is gone"));
        Self::of(&address).ok_or_else(gone)
    }

    /// `None` if the server is gone, or about to go.
    fn of(address: &Address) -> Option<Self> {
        let door = enter(&address.dir, || is_alive(address.supervisor)).ok()?;
        let socket = address.dir.join(format!(".s.PGSQL.{}", address.port));
        UnixStream::connect(socket).ok()?;
        Some(Self { address: address.clone(), _door: door })
    }

    /// The URL of the server's own database for its superuser, through the socket.
    pub(super) fn url(&self) -> Url {
        let Address { dir, port, .. } = &self.address;
        let mut url = Url::parse(&format!("postgres://postgres@localhost:{port}/postgres"))
            .unwrap_or_else(|_| unreachable!("it is a URL"));
        url.query_pairs_mut().append_pair("host", &dir.to_string_lossy());
        url
    }
}

/// Other programs or other settings make another server.
fn name(bin_dir: &Path) -> String {
    let mut hasher = DefaultHasher::new();
    (bin_dir, SETTINGS, FOR_SHORT_LIVES, SCRIPT).hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// Opens the door and waits until the supervisor has seen it: see `supervisor.sh`.
fn enter(dir: &Path, is_kept: impl Fn() -> bool) -> io::Result<File> {
    let deadline = Instant::now() + DOOR_OPENS_WITHIN;
    let door = dir.join("door");
    let wait = || wait(&door, deadline, &is_kept);
    let name = format!("guest.{}", random_hex()?);
    let seen = dir.join(&name);
    File::create(&seen)?;
    let mut opened = open_without_waiting(&door, wait)?;
    // One write, so that no other guest's name gets between.
    opened.write_all(format!("{name}\n").as_bytes())?;
    while seen.exists() {
        wait()?;
    }
    // The directory may be gone, and the file with it.
    wait()?;
    Ok(opened)
}

/// Between two guests the supervisor leaves its door for a moment, and opening it fails.
fn open_without_waiting(door: &Path, wait: impl Fn() -> io::Result<()>) -> io::Result<File> {
    loop {
        let opened =
            OpenOptions::new().write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(door);
        match opened {
            Err(error) if error.raw_os_error() == Some(Errno::ENXIO as i32) => wait()?,
            opened => return opened,
        }
    }
}

fn wait(door: &Path, deadline: Instant, is_kept: impl Fn() -> bool) -> io::Result<()> {
    fs::symlink_metadata(door)?;
    if Instant::now() > deadline || !is_kept() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    thread::sleep(POLL);
    Ok(())
}

/// Whether a process runs. A zombie does not: it has ended, and nobody has asked for its status.
fn is_alive(pid: i32) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state follows the name, which stands in parentheses.
    let has_ended = state.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'));
    kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH) && !has_ended
}

impl Address {
    fn read(file: &Path) -> Option<Self> {
        let text = fs::read_to_string(file).ok()?;
        let mut lines = text.lines();
        let dir = lines.next()?.into();
        let port = lines.next()?.parse().ok()?;
        let mut pid = || lines.next()?.parse().ok();
        Some(Self { dir, port, supervisor: pid()?, postmaster: pid()? })
    }

    fn write(&self, file: &Path) -> io::Result<()> {
        let Self { dir, port, supervisor, postmaster } = self;
        fs::write(file, format!("{}\n{port}\n{supervisor}\n{postmaster}\n", dir.display()))
    }

    /// Ends the server of a killed supervisor, and removes its files.
    fn clear(&self) {
        if is_alive(self.supervisor) {
            return;
        }
        // Another process may have its number by now, but only a postmaster works in the data
        // directory. If that cannot be seen, the server ends by itself within a minute, without its
        // files (`RecheckDataDirLockFile` in its sources).
        let home = fs::read_link(format!("/proc/{}/cwd", self.postmaster));
        if home.is_ok_and(|home| home == self.dir.join("data")) {
            let _ = kill(Pid::from_raw(self.postmaster), Signal::SIGQUIT);
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::postgres::{supervisor::Supervisor, wait_until};

    #[test]
    fn guests_share_a_server_and_it_goes_when_the_last_has_gone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("server");
        let first = Guest::come_to(&file, 1).unwrap();
        let second = Guest::come_to(&file, 1).unwrap();
        assert_eq!(first.url(), second.url());

        drop(first);
        thread::sleep(Duration::from_secs(2));
        let socket = second.address.dir.join(format!(".s.PGSQL.{}", second.address.port));
        assert!(UnixStream::connect(&socket).is_ok());

        let dir = second.address.dir.clone();
        drop(second);
        wait_until("the server's files are removed", || !dir.exists());
        assert!(UnixStream::connect(&socket).is_err());
    }

    #[test]
    fn who_comes_in_time_finds_the_server_still_there() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("server");
        let url = Guest::come_to(&file, 5).unwrap().url();
        assert_eq!(Guest::come_to(&file, 5).unwrap().url(), url);
    }

    #[test]
    fn a_server_whose_supervisor_was_killed_is_replaced_and_its_files_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("server");
        let first = Guest::come_to(&file, 2).unwrap();
        let Address { dir: old, supervisor, postmaster, .. } = first.address.clone();
        kill(Pid::from_raw(supervisor), Signal::SIGKILL).unwrap();
        drop(first);

        let second = Guest::come_to(&file, 2).unwrap();

        assert_ne!(second.address.dir, old);
        assert!(!old.exists());
        wait_until("the postmaster ends", || !is_alive(postmaster));
    }

    /// Many guests come and go while the supervisor is about to leave. A guest who is let in finds
    /// the server there until the guest leaves.
    #[test]
    fn nobody_is_let_in_by_a_supervisor_that_leaves() {
        let (let_in, turned_away) = (AtomicU32::new(0), AtomicU32::new(0));
        for _ in 0..10 {
            let supervisor = Supervisor::start(Path::new("/usr/bin")).unwrap();
            let dir = supervisor.dir().to_owned();
            supervisor.share(0).unwrap();
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| come_and_go(&dir, &let_in, &turned_away));
                }
            });
        }
        assert!(let_in.into_inner() > 0 && turned_away.into_inner() > 0);
    }

    fn come_and_go(dir: &Path, let_in: &AtomicU32, turned_away: &AtomicU32) {
        for _ in 0..10 {
            thread::sleep(Duration::from_micros(fastrand::u64(0..3_000)));
            let Ok(door) = enter(dir, || true) else {
                turned_away.fetch_add(1, Ordering::Relaxed);
                return;
            };
            thread::sleep(Duration::from_millis(fastrand::u64(0..10)));
            assert!(dir.join("door").exists());
            let_in.fetch_add(1, Ordering::Relaxed);
            drop(door);
        }
    }
}
