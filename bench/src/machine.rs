//! The machine and the day of a measurement.

use std::{fs, process::Command};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::{program::home, subject::Tool, world::World};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    pub date: String,
    pub cpu: String,
    pub cores: usize,
    pub memory_gib: u64,
    pub kernel: String,
    /// The file system of the databases.
    pub file_system: String,
    pub postgres: String,
    pub sqlite: String,
    pub rustc: String,
    /// The tools and their versions.
    pub tools: Vec<(Tool, String)>,
}

impl Machine {
    pub async fn look() -> Result<Self> {
        let world = World::new().await?;
        Ok(Self {
            date: said("date", &["--utc", "+%F"]),
            cpu: field("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism()?.get(),
            memory_gib: memory_gib(),
            kernel: said("uname", &["-sr"]),
            file_system: said(
                "stat",
                &["--file-system", "--format=%T", &std::env::temp_dir().to_string_lossy()],
            ),
            postgres: world.server.version().await?,
            sqlite: rusqlite::version().to_owned(),
            rustc: said("rustc", &["--version"]),
            tools: versions()?,
        })
    }
}

/// The output of a command; empty if there is no such command.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default()
}

/// The first field of this name in one of the system's files.
fn field(path: &str, name: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.split_once(':'))
        .map(|(_, value)| value.trim().to_owned())
        .unwrap_or_default()
}

fn memory_gib() -> u64 {
    let kib = field("/proc/meminfo", "MemTotal");
    let kib: u64 = kib.split(' ').next().and_then(|kib| kib.parse().ok()).unwrap_or(0);
    kib.div_ceil(1 << 20)
}

/// The versions in the lock file.
fn versions() -> Result<Vec<(Tool, String)>> {
    let lock = fs::read_to_string(home().join("Cargo.lock"))?;
    Ok(Tool::ALL.map(|tool| (tool, version_in(&lock, tool.package()))).into())
}

fn version_in(lock: &str, package: &str) -> String {
    let entry =
        lock.split_once(&format!("name = \"{package}\"\nversion = \"")).map(|(_, rest)| rest);
    entry.and_then(|rest| rest.split('"').next()).unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_the_lock_file() {
        let lock = "[[package]]\nname = \"sqlx-core\"\nversion = \"1.0.0\"\n\n[[package]]\n\
            name = \"sqlx\"\nversion = \"0.9.0\"\n";
        assert_eq!(version_in(lock, "sqlx"), "0.9.0");
        assert_eq!(version_in(lock, "diesel"), "unknown");
    }
}
