//! An SQLite database has no room to grow.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use onerow::prelude::async_trait;
use sea_orm::{ConnectOptions, sqlx::sqlite::SqliteJournalMode};
use tempfile::TempDir;

use crate::{
    place::{Journal, Kind, Place},
    running::{self, Running},
    scenario::{Round, Scenario},
    state::{self, texts},
    subject::Subject,
};

pub fn scenarios() -> Vec<Box<dyn Scenario>> {
    let of = |journal| Box::new(DiskFull { journal, told: false }) as Box<dyn Scenario>;
    vec![of(Journal::Rollback), of(Journal::Wal)]
}

struct DiskFull {
    journal: Journal,
    /// Whether it was said that no disk can be mounted here.
    told: bool,
}

const SUBJECT: Subject = Subject::PLAIN;

#[async_trait]
impl Scenario for DiskFull {
    fn name(&self) -> &'static str {
        "the_disk_is_full"
    }

    fn kind(&self) -> Kind {
        Kind::Sqlite(self.journal)
    }

    fn share(&self) -> usize {
        50
    }

    async fn round(&mut self, round: &mut Round<'_>) {
        // The room goes from hardly a page to almost enough. With no room for its index of the log,
        // 32 KiB, SQLite does not even open a database, and calls that an I/O error.
        let least = if self.journal == Journal::Wal { 48 } else { 8 };
        let kibibytes = round.rng.u64(least..600);
        match Disk::mount() {
            Ok(disk) => on_a_disk(round, &disk, self.journal, kibibytes).await,
            Err(reason) => {
                if !self.told {
                    eprintln!(
                        "NOT TESTED: a disk that is full, because none can be mounted here \
                         ({reason}); \
                         instead, a database that may not grow"
                    );
                    self.told = true;
                }
                in_few_pages(round, self.kind(), kibibytes / 4).await;
            }
        }
    }
}

async fn on_a_disk(round: &mut Round<'_>, disk: &Disk, journal: Journal, kibibytes: u64) {
    let place = Place::at(disk.path(), journal);
    let mut options = ConnectOptions::new(place.url.as_str());
    if journal == Journal::Wal {
        options.map_sqlx_sqlite_opts(|options| options.journal_mode(SqliteJournalMode::Wal));
    }
    begin(round, options.clone()).await;
    disk.resize(disk.used() + kibibytes);
    attack(round, &place, options).await;
    disk.resize(ROOMY);
    running::finish(&place, SUBJECT).await;
}

async fn in_few_pages(round: &mut Round<'_>, kind: Kind, pages: u64) {
    let place = round.place(kind).await;
    begin(round, place.url.as_str()).await;
    let onlooker = place.look().await;
    let used = texts(&onlooker, "SELECT page_count FROM pragma_page_count").await;
    let used: u64 = used.unwrap_or_else(|error| panic!("{error}"))[0]
        .parse()
        .unwrap_or_else(|error| panic!("{error}"));
    let mut options = ConnectOptions::new(place.url.as_str());
    let most = (used + pages).to_string();
    options.map_sqlx_sqlite_opts(move |options| options.pragma("max_page_count", most.clone()));
    attack(round, &place, options).await;
    running::finish(&place, SUBJECT).await;
}

/// Brings most databases to some version first, because in one go SQLite commits all migrations
/// together.
async fn begin(round: &mut Round<'_>, options: impl Into<ConnectOptions>) {
    let version = round.rng.i32(-40..SUBJECT.last()).max(-1);
    let ending = Running::start_with(options, SUBJECT, move |up| up.to(version)).end().await;
    assert_eq!(ending.version(), version);
}

/// Starts a run without room. Its error says so, and the database is whole.
async fn attack(round: &mut Round<'_>, place: &Place, options: impl Into<ConnectOptions>) {
    let ending = Running::start(options, SUBJECT).end().await;
    if let Err(error) = &ending.outcome {
        let text = error.explain().to_string();
        assert!(text.contains("full"), "the error does not say that the disk is full\n{text}");
    }
    let version = state::check(place, SUBJECT).await;
    ending.assert_truthful(version);
    round.count(ending.outcome.is_err(), version);
}

/// In kibibytes: more than all migrations and their journal take.
const ROOMY: u64 = 65_536;

/// A disk in memory that can grow and shrink. It is unmounted when it is dropped.
struct Disk(TempDir);

impl Disk {
    fn mount() -> Result<Self, String> {
        let dir = tempfile::Builder::new().prefix("onerow-disk.").tempdir();
        let dir = dir.map_err(|error| error.to_string())?;
        let size = format!("size={ROOMY}k");
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "onerow-disk"])
            .arg(dir.path()))?;
        Ok(Self(dir))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// The used space in kibibytes.
    fn used(&self) -> u64 {
        let files = fs::read_dir(self.path()).and_then(|files| {
            let sizes =
                files.map(|file| file?.metadata().map(|file| file.len().div_ceil(4096) * 4));
            sizes.sum()
        });
        files.unwrap_or_else(|error| panic!("cannot look at the disk: {error}"))
    }

    fn resize(&self, kibibytes: u64) {
        let size = format!("remount,size={kibibytes}k");
        let resized = run(Command::new("mount").args(["-o", &size]).arg(self.path()));
        resized.unwrap_or_else(|error| panic!("cannot resize a disk: {error}"));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A pool that closes in the background may still have the file open, so this unmounts
        // lazily.
        if let Err(error) = run(Command::new("umount").arg("--lazy").arg(self.path())) {
            eprintln!("{} stays mounted: {error}", self.path().display());
        }
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let Output { status, stderr, .. } = command.output().map_err(|error| error.to_string())?;
    if status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&stderr).trim().to_owned())
}
