//! The command line of the migrations.

use std::{
    fs::File,
    io::Write,
    path::Path,
    process::{Child, Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

use super::{built, eventually, log::Log, program};

/// `migration`, run in a directory of its own.
pub struct MigrationCli {
    program: &'static str,
    dir: TempDir,
    env: Vec<(String, String)>,
}

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl MigrationCli {
    /// In an empty directory, with an empty environment.
    pub fn new() -> Self {
        Self { program: "migration", dir: tempfile::tempdir().unwrap(), env: Vec::new() }
    }

    /// The command line over the migrations of `tests/subject`, whose second does this.
    pub fn of_subject(database_url: &str, does: &str) -> Self {
        Self { program: "subject", ..Self::on(database_url).env("SUBJECT", does) }
    }

    /// With `DATABASE_URL` in the environment.
    pub fn on(database_url: &str) -> Self {
        Self::new().env("DATABASE_URL", database_url)
    }

    pub fn env(mut self, variable: &str, value: &str) -> Self {
        self.env.push((variable.to_owned(), value.to_owned()));
        self
    }

    pub fn unset(mut self, variable: &str) -> Self {
        self.env.retain(|(set, _)| set != variable);
        self
    }

    /// Puts a file into its directory.
    pub fn file(self, name: &str, content: &str) -> Self {
        std::fs::write(self.dir.path().join(name), content).unwrap();
        self
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn run(&self, args: &[&str]) -> Outcome {
        Outcome::of(&mut self.command(args))
    }

    /// Runs a shell script that can call `migration`.
    pub fn shell(&self, script: &str) -> Outcome {
        let programs = built("migration").parent().unwrap();
        let mut shell = program(Path::new("/bin/sh"), self.dir.path());
        let path = format!("{}:/usr/bin:/bin", programs.display());
        Outcome::of(shell.env("PATH", path).args(["-c", script]).stdin(Stdio::null()))
    }

    /// Runs with a terminal as standard input, on which somebody has typed this.
    pub fn run_at_a_terminal(&self, args: &[&str], typed: &str) -> Outcome {
        let terminal = nix::pty::openpty(None, None).unwrap();
        File::from(terminal.master.try_clone().unwrap()).write_all(typed.as_bytes()).unwrap();
        Outcome::of(self.command(args).stdin(terminal.slave))
    }

    /// Starts a run without waiting for its end.
    pub fn start(&self, args: &[&str]) -> Running {
        let mut process =
            self.command(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Log::of(process.stderr.take().unwrap());
        Running { process, log: Some(log) }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = program(built(self.program), self.dir.path());
        command.envs(self.env.iter().cloned()).args(args).stdin(Stdio::null());
        command
    }
}

/// A run that is going on.
pub struct Running {
    process: Child,
    log: Option<Log>,
}

impl Running {
    /// Waits until it says this on stderr.
    pub fn says(&self, needle: &str) {
        self.log.as_ref().unwrap().wait_for(needle);
    }

    /// Sends it a signal.
    pub fn send(&self, signal: Signal) {
        kill(Pid::from_raw(self.process.id().cast_signed()), signal).unwrap();
    }

    /// Sends it a signal and waits until it ends. Returns the exit code and its stderr.
    pub fn stop(self, signal: Signal) -> (Option<i32>, String) {
        self.send(signal);
        self.end()
    }

    /// Waits until it ends. Returns the exit code and its stderr.
    pub fn end(mut self) -> (Option<i32>, String) {
        let status = eventually("the run's end", || self.process.try_wait().unwrap());
        (status.code(), self.log.take().unwrap().into_text())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // This fails only if it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Outcome {
    pub fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Checks that the run succeeded, and returns its stdout.
    #[track_caller]
    pub fn done(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    /// Checks that the run failed with this code and without results. Returns its complaint.
    #[track_caller]
    pub fn failed(self, code: i32) -> String {
        assert_eq!((self.code, self.stdout.as_str()), (Some(code), ""), "{self:?}");
        self.said().to_owned()
    }

    /// Its stderr after the line that names the database.
    pub fn said(&self) -> &str {
        let named = self.stderr.strip_prefix("database: ").and_then(|rest| rest.split_once('\n'));
        named.map_or(&self.stderr, |(_, rest)| rest)
    }
}
