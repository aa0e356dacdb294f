//! This program again, as a process that applies the migrations and can be killed.

use std::{
    env,
    os::unix::process::ExitStatusExt,
    process::{ExitCode, Output, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use onerow::{Error, Progress, Registry, prelude::*};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

use crate::{place::Place, subject::Subject};

const URL: &str = "FAULT_RUNNER";
const COMMAND_LINE: &str = "FAULT_COMMAND_LINE";
const SUBJECT: &str = "FAULT_SUBJECT";
const HOP: &str = "FAULT_HOP";

/// A run that takes longer hangs.
pub const LIMIT: Duration = Duration::from_mins(1);

/// If this process was started for it: does what the arguments say, like the `main` of a migration
/// crate.
pub fn obey_command_line() -> Option<ExitCode> {
    env::var_os(COMMAND_LINE)?;
    Some(onerow_cli::run(subject().registry()))
}

fn subject() -> Subject {
    let text = env::var(SUBJECT).unwrap_or_else(|error| panic!("{SUBJECT}: {error}"));
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

/// The orders of a runner process.
pub struct Order {
    url: String,
    subject: Subject,
    /// How many migrations to apply in each of several runs; if it is too large for two runs, all
    /// in one.
    hop: i32,
}

impl Order {
    /// The orders of this process, if it is a runner.
    pub fn from_environment() -> Option<Self> {
        let url = env::var(URL).ok()?;
        let read = |name| env::var(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        Some(Self {
            url,
            subject: subject(),
            hop: read(HOP).parse().unwrap_or_else(|error| panic!("{error}")),
        })
    }

    pub async fn obey(self) -> ExitCode {
        match self.run().await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{}", error.explain());
                ExitCode::FAILURE
            }
        }
    }

    /// Prints the version of each migration as soon as it is reported as applied.
    async fn run(self) -> Result<(), Error> {
        let db = Database::connect(self.url).await?;
        let registry: Registry = self.subject.registry();
        let tell = |step: &Progress| {
            if let Progress::Applied(applied) = step {
                println!("{}", applied.version);
            }
        };
        if self.hop < self.subject.last() {
            let mut version = registry.status(&db).await?.version;
            while version + self.hop < self.subject.last() {
                let up = registry.up(&db).to(version + self.hop).on_progress(tell);
                version = up.await?.version;
            }
        }
        registry.up(&db).on_progress(tell).await?;
        db.disconnect().await
    }
}

/// A runner process. It is killed when it is dropped.
pub struct Runner(Child);

impl Runner {
    /// Starts a process that applies everything.
    pub fn start(place: &Place, subject: Subject) -> Self {
        Self::start_hopping(place, subject, i32::MAX / 2)
    }

    /// Starts a process that applies everything in several runs, of so many migrations each.
    pub fn start_hopping(place: &Place, subject: Subject, hop: i32) -> Self {
        Self::spawn(program(subject).env(URL, &place.url).env(HOP, hop.to_string()))
    }

    /// Starts the command line's `up`, which listens for signals.
    pub fn start_command_line(url: &str, subject: Subject) -> Self {
        Self::spawn(program(subject).arg("up").env(COMMAND_LINE, "").env("DATABASE_URL", url))
    }

    fn spawn(command: &mut Command) -> Self {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        Self(child.unwrap_or_else(|error| panic!("cannot start a runner: {error}")))
    }

    /// Sends a signal, if the process still exists.
    pub fn signal(&self, signal: Signal) {
        let Some(pid) = self.0.id() else { return };
        let sent = kill(Pid::from_raw(pid.cast_signed()), signal);
        sent.unwrap_or_else(|error| panic!("cannot send {signal} to a runner: {error}"));
    }

    /// Sends SIGKILL, which may come too late.
    pub async fn kill(mut self) -> End {
        let killed = self.0.start_kill();
        killed.unwrap_or_else(|error| panic!("cannot kill a runner: {error}"));
        self.end().await
    }

    /// Waits for its end. Panics if it does not end.
    pub async fn end(self) -> End {
        let output = timeout(LIMIT, self.0.wait_with_output()).await;
        let output =
            output.unwrap_or_else(|_| panic!("a runner hangs: it has not ended in {LIMIT:?}"));
        End(output.unwrap_or_else(|error| panic!("cannot wait for a runner: {error}")))
    }

    /// Waits for its end, which must be a success.
    pub async fn succeed(self) -> End {
        let end = self.end().await;
        end.assert_success();
        end
    }
}

fn program(subject: Subject) -> Command {
    let program = env::current_exe().unwrap_or_else(|error| panic!("{error}"));
    let mut command = Command::new(program);
    command.env(SUBJECT, subject.to_string());
    command
}

/// How a runner ended.
pub struct End(Output);

impl End {
    /// Whether SIGKILL found it alive.
    pub fn was_killed(&self) -> bool {
        self.0.status.signal() == Some(9)
    }

    pub fn is_success(&self) -> bool {
        self.0.status.success()
    }

    /// Its standard error.
    pub fn complaint(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    pub fn assert_success(&self) {
        assert!(
            self.is_success(),
            "a runner that nobody killed failed, {}\n{}",
            self.0.status,
            self.complaint()
        );
    }

    /// The last version that it reported as applied.
    pub fn told(&self) -> Option<i32> {
        // A last line that was cut off does not count.
        let complete = self.0.stdout.iter().rposition(|byte| *byte == b'\n')?;
        let text = String::from_utf8_lossy(&self.0.stdout[..complete]);
        text.lines().last()?.parse().ok()
    }

    /// All versions that it reported as applied.
    pub fn applied(&self) -> Vec<i32> {
        let text = String::from_utf8_lossy(&self.0.stdout);
        text.lines().flat_map(str::parse).collect()
    }
}
