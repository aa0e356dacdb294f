//! Each program is called as `PROGRAM URL COUNT [MODE]`, and prints a line of JSON.

use std::{
    env, fs,
    time::{Duration, Instant, SystemTime},
};

/// A program's task.
#[derive(Debug)]
pub struct Task {
    /// `postgres://…` or `sqlite://path?…`.
    pub url: String,
    /// How many migrations there are.
    pub count: u16,
    /// The program's word for another way than the usual one; empty for the usual one.
    pub mode: String,
}

impl Task {
    /// Reads the arguments.
    ///
    /// # Panics
    /// If they are not `URL COUNT [MODE]`.
    #[must_use]
    pub fn read() -> Self {
        let mut arguments = env::args().skip(1);
        let url = arguments.next().expect("the first argument is a URL");
        let count = arguments.next().and_then(|count| count.parse().ok());
        Self {
            url,
            count: count.expect("the second argument is the number of migrations"),
            mode: arguments.next().unwrap_or_default(),
        }
    }

    /// The file, if the database is one.
    #[must_use]
    pub fn sqlite_path(&self) -> Option<&str> {
        self.url.strip_prefix("sqlite://")?.split('?').next()
    }
}

/// Starts before the program connects.
#[derive(Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Restarts the clock when the migrations are listed, because a list that is compiled in costs
    /// nothing.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Call it as soon as the program holds a connection, or a pool.
    #[must_use]
    pub fn connected(self) -> Connected {
        Connected { connect: self.0.elapsed(), at: Instant::now(), wall: wall() }
    }
}

/// Runs while the program migrates.
#[derive(Debug)]
pub struct Connected {
    connect: Duration,
    at: Instant,
    wall: f64,
}

impl Connected {
    /// Call it as soon as the database is up to date. It prints the reading.
    pub fn migrated(self) {
        let (migrate, wall) = (self.at.elapsed(), wall());
        println!(
            "{{\"connect_seconds\": {:.9}, \"migrate_seconds\": {:.9}, \"peak_kib\": {}, \
             \"connected_at\": {:.6}, \"migrated_at\": {wall:.6}}}",
            self.connect.as_secs_f64(),
            migrate.as_secs_f64(),
            peak_kib(),
            self.wall,
        );
    }
}

/// Seconds of the clock that other processes see too.
fn wall() -> f64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs_f64()
}

/// The most memory that the process has held; 0 if the system does not say.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
