//! The programs: building and starting them, and reading their output.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

use crate::subject::{Kind, Subject, Tool};

/// A program that takes longer hangs.
const PATIENCE: Duration = Duration::from_mins(2);

/// In characters: how much of a program's error to keep.
const LONGEST_ERROR: usize = 160;

/// A program's output.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Reading {
    pub connect_seconds: f64,
    pub migrate_seconds: f64,
    pub peak_kib: u64,
    /// In seconds of the wall clock.
    #[serde(default, skip_serializing)]
    pub connected_at: f64,
    /// In seconds of the wall clock.
    #[serde(default, skip_serializing)]
    pub migrated_at: f64,
}

/// How a program ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Done(Reading),
    /// It exited with an error, whose last line this is, or had to be killed.
    Failed(String),
}

impl Outcome {
    pub fn reading(&self) -> Option<Reading> {
        match self {
            Self::Done(reading) => Some(*reading),
            Self::Failed(_) => None,
        }
    }
}

/// A program that was measured once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    pub kind: Kind,
    pub subject: Subject,
    /// How many migrations there are.
    pub count: u16,
    pub outcome: Outcome,
}

/// The programs, in cargo's directory.
pub struct Programs {
    dir: PathBuf,
}

impl Programs {
    /// Builds each by itself, with only its own features: if they were built together, they would
    /// share the features of common dependencies.
    pub async fn build() -> Result<Self> {
        for tool in Tool::ALL {
            eprintln!("building {}", tool.program());
            let built = cargo(&["build", "--release", "--quiet", "--package", tool.program()])
                .status()
                .await;
            ensure!(built.context("cargo")?.success(), "{} does not compile", tool.program());
        }
        // This program was built into the same directory.
        let this = env::current_exe()?;
        Ok(Self { dir: this.parent().context("this program has no directory")?.to_owned() })
    }

    pub fn path(&self, tool: Tool) -> PathBuf {
        self.dir.join(tool.program())
    }

    pub fn command(&self, subject: Subject, url: &str, count: u16) -> Command {
        let mut command = Command::new(self.path(subject.tool));
        command.args(arguments(subject, url, count));
        prepare(&mut command);
        command
    }

    /// Starts it under strace, which writes to that file how often the disk was told to flush.
    pub fn traced(&self, subject: Subject, url: &str, count: u16, summary: &Path) -> Command {
        let mut command = Command::new("strace");
        command.args(["-f", "-c", "-e", "trace=fsync,fdatasync", "-o"]).arg(summary);
        command.arg(self.path(subject.tool)).args(arguments(subject, url, count));
        prepare(&mut command);
        command
    }

    pub async fn run(&self, subject: Subject, url: &str, count: u16) -> Outcome {
        outcome(start(&mut self.command(subject, url, count)), url).await
    }
}

fn arguments(subject: Subject, url: &str, count: u16) -> Vec<String> {
    let arguments = [url.to_owned(), count.to_string()];
    arguments.into_iter().chain(subject.argument().map(str::to_owned)).collect()
}

fn prepare(command: &mut Command) {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
}

pub fn start(command: &mut Command) -> Result<Child> {
    command.spawn().context("a program does not start")
}

/// Waits for a program's end.
pub async fn outcome(child: Result<Child>, url: &str) -> Outcome {
    let ended = match child {
        Ok(child) => timeout(PATIENCE, child.wait_with_output()).await,
        Err(error) => return Outcome::Failed(format!("{error:#}")),
    };
    match ended {
        Ok(Ok(output)) => read(&output, url),
        Ok(Err(error)) => Outcome::Failed(error.to_string()),
        Err(_) => Outcome::Failed(format!("it has not ended in {PATIENCE:?}")),
    }
}

fn read(output: &Output, url: &str) -> Outcome {
    let reading = output.status.success().then(|| serde_json::from_slice(&output.stdout));
    if let Some(Ok(reading)) = reading {
        return Outcome::Done(reading);
    }
    let error = String::from_utf8_lossy(&output.stderr);
    let last =
        error.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it prints nothing");
    // The results hold neither the password nor the path of something that is gone.
    let last = last.trim_start_matches("Error: ").replace(url, "URL").replace('`', "'");
    Outcome::Failed(last.chars().take(LONGEST_ERROR).collect())
}

/// Cargo, in this workspace.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
    command.args(arguments).arg("--locked").arg("--manifest-path").arg(home().join("Cargo.toml"));
    command
}

/// The directory of this workspace.
pub fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
