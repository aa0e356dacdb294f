//! The process that outlives ours until it has cleaned up.

use std::{
    io::{self, BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use nix::{
    sys::statvfs::statvfs,
    unistd::{Uid, User},
};

use super::ServerError;

pub(super) const SCRIPT: &str = include_str!("supervisor.sh");

/// A file system in memory, on Linux. Copying a database of 1,000 tables takes 0.12 s there,
/// always. On a disk (ext4, mounted with `discard`) it takes 0.5 s and up to 4 s, while all other
/// tests wait too.
const MEMORY: &str = "/dev/shm";

/// The room that it must have: many containers have 64 MiB.
const ROOM: u64 = 4 << 30;

/// A shell with a directory of its own, running as a user that PostgreSQL accepts.
///
/// The kernel closes our end of its standard input however this process ends; then the shell stops
/// the server and removes the directory. There is no handler that a `kill -9` would skip.
pub(super) struct Supervisor {
    child: Child,
    /// `None` only while dropping.
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    dir: PathBuf,
    /// Whether it stays for others when this process ends.
    shared: bool,
}

impl Supervisor {
    /// Starts the shell and waits until it has made its directory.
    pub(super) fn start(bin_dir: &Path) -> Result<Self, ServerError> {
        let mut child = command(bin_dir)?.spawn().map_err(ServerError::Supervisor)?;
        let commands = child.stdin.take();
        let answers = child.stdout.take().ok_or_else(gone)?;
        let mut supervisor = Self {
            child,
            commands,
            answers: BufReader::new(answers),
            dir: PathBuf::new(),
            shared: false,
        };
        supervisor.dir = supervisor.read_line()?.into();
        Ok(supervisor)
    }

    /// The directory that goes when the supervisor does.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Runs one line of shell. If its exit status is not 0, the error holds what it printed.
    pub(super) fn run(&mut self, operation: &'static str, line: &str) -> Result<(), ServerError> {
        let commands = self.commands.as_mut().ok_or_else(gone)?;
        writeln!(commands, "{line}").map_err(ServerError::Supervisor)?;
        if self.read_line()? == "0" {
            return Ok(());
        }
        let output = std::fs::read(self.dir.join("output")).map_err(ServerError::Supervisor)?;
        Err(ServerError::Failed {
            operation,
            output: String::from_utf8_lossy(&output).trim().to_owned(),
        })
    }

    /// Has the shell serve the processes that hold its door open, and give up if nobody has for so
    /// many seconds. Returns its process id.
    pub(super) fn share(mut self, seconds: u32) -> Result<i32, ServerError> {
        self.run("sharing the server", &format!("share {seconds}"))?;
        self.shared = true;
        Ok(self.child.id().cast_signed())
    }

    fn read_line(&mut self) -> Result<String, ServerError> {
        let mut line = String::new();
        match self.answers.read_line(&mut line) {
            Ok(0) => Err(gone()),
            Ok(_) => Ok(line.trim_end().to_owned()),
            Err(error) => Err(ServerError::Supervisor(error)),
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        drop(self.commands.take());
        if self.shared {
            return;
        }
        // Waiting makes sure that all is removed when the drop returns. The shell removes it even
        // if the wait fails.
        let _ = self.child.wait();
    }
}

fn command(bin_dir: &Path) -> Result<Command, ServerError> {
    let mut command = Command::new("sh");
    command
        .args(["-c", SCRIPT, "supervisor"])
        .arg(bin_dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // Ctrl-C in a terminal reaches every process of the foreground group, and this one has to
        // survive it.
        .process_group(0)
        // The user that it runs as may have no access to our directory.
        .current_dir("/")
        // We read PostgreSQL's messages below, and `initdb` is faster if it need not find out the
        // time zone.
        .env("LC_ALL", "C")
        .env("TZ", "UTC");
    if std::env::var_os("TMPDIR").is_none() && has_room(MEMORY) {
        command.env("TMPDIR", MEMORY);
    }
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"PG"))
    {
        command.env_remove(name);
    }
    if Uid::effective().is_root() {
        // PostgreSQL refuses to run as root.
        let postgres = User::from_name("postgres").ok().flatten().ok_or(ServerError::NoUser)?;
        command.uid(postgres.uid.as_raw()).gid(postgres.gid.as_raw());
    }
    Ok(command)
}

fn has_room(dir: &str) -> bool {
    statvfs(dir).is_ok_and(|found| {
        // Both are as wide as a pointer, or already have that type on this system.
        #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
        let free = u64::from(found.blocks_available()) * found.fragment_size() as u64;
        free >= ROOM
    })
}

fn gone() -> ServerError {
    ServerError::Supervisor(io::Error::new(io::ErrorKind::BrokenPipe, "it ended by itself"))
}

/// One word of a shell command line.
pub(super) fn quoted(word: impl AsRef<Path>) -> String {
    format!("'{}'", word.as_ref().to_string_lossy().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_removes_its_directory_when_nobody_is_left_to_read_its_answer() {
        let mut shell = command(Path::new("/usr/bin")).unwrap().spawn().unwrap();
        let mut answers = BufReader::new(shell.stdout.take().unwrap());
        let mut dir = String::new();
        answers.read_line(&mut dir).unwrap();
        assert!(Path::new(dir.trim()).exists());

        // This is how `kill -9` in the middle of a command leaves it: both pipes are broken.
        writeln!(shell.stdin.take().unwrap(), "sleep 0.3").unwrap();
        drop(answers);

        shell.wait().unwrap();
        assert!(!Path::new(dir.trim()).exists());
    }
}
