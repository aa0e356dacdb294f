//! A migration that takes its time and writes a line at each step, so that two runs at once would
//! show.

use std::{collections::BTreeSet, fmt, str::FromStr, time::Duration};

use onerow::prelude::*;
use tokio::time::{Instant, sleep};

use crate::{place::Place, runner::LIMIT, state::texts};

/// The table of the lines.
pub const TABLE: &str = "diary";

/// The lines in the order of writing, in the form that [`Line`] reads.
pub const LINES: &str = "SELECT run || ' ' || line || ' ' || alive FROM diary ORDER BY id";

/// A migration that writes so many lines, with pauses in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Diary {
    /// Its version.
    pub at: i32,
    pub lines: i32,
    /// The mean pause, in milliseconds.
    pub pause: u32,
    pub transactional: bool,
}

/// A row of the diary.
#[derive(Clone, Copy)]
pub struct Line {
    /// A random number for each start of the migration.
    run: u32,
    number: i32,
    /// How many sessions that had written lines of other runs still existed.
    alive: u32,
}

impl Diary {
    /// The statement that creates the table; the first migration runs it.
    pub fn table(backend: DatabaseBackend) -> String {
        let id = if backend == DatabaseBackend::Sqlite { "INTEGER" } else { "SERIAL" };
        format!(
            "CREATE TABLE {TABLE} (id {id} PRIMARY KEY, run INTEGER NOT NULL, line INTEGER NOT NULL,
                 pid INTEGER NOT NULL, alive INTEGER NOT NULL)"
        )
    }

    pub async fn write(self, db: &Database) -> Result<(), DbErr> {
        let run = fastrand::u32(..1 << 31);
        for number in 0..self.lines {
            db.execute_unprepared(&insert(db.get_database_backend(), run, number)).await?;
            self.pause(db).await?;
        }
        Ok(())
    }

    /// Most pauses leave the session idle, as in a migration that computes. In some, a statement
    /// waits.
    async fn pause(self, db: &Database) -> Result<(), DbErr> {
        let pause = Duration::from_millis(fastrand::u64(..=2 * u64::from(self.pause)));
        if db.get_database_backend() == DatabaseBackend::Sqlite || fastrand::u8(..3) > 0 {
            sleep(pause).await;
            return Ok(());
        }
        let sql = format!("SELECT pg_sleep({})", pause.as_secs_f64());
        db.execute_unprepared(&sql).await.map(drop)
    }

    /// Panics unless each run of the migration ended before the next began, and the last is
    /// complete if the migration is applied.
    pub fn check(self, lines: &[Line], version: i32) {
        let runs: Vec<&[Line]> = lines.chunk_by(|one, next| one.run == next.run).collect();
        let distinct: BTreeSet<u32> = lines.iter().map(|line| line.run).collect();
        assert_eq!(runs.len(), distinct.len(), "two runs of one migration took turns: {lines:?}");
        for run in &runs {
            let numbers: Vec<_> = run.iter().map(|line| line.number).collect();
            let promised: Vec<_> = (0..self.lines).take(run.len()).collect();
            assert_eq!(numbers, promised, "the lines of one run");
        }
        let alone = lines.iter().all(|line| line.alive == 0);
        assert!(alone, "a run began while a session of another was there: {lines:?}");
        self.check_extent(&runs, version);
    }

    fn check_extent(self, runs: &[&[Line]], version: i32) {
        let is_complete = |run: &&[Line]| run.len() == self.lines.unsigned_abs() as usize;
        if version >= self.at {
            assert!(
                runs.last().is_some_and(is_complete),
                "it is applied, and not complete: {runs:?}"
            );
            assert!(
                !self.transactional || runs.len() == 1,
                "what was rolled back is there: {runs:?}"
            );
        } else {
            let may_be_begun = !self.transactional && version == self.at - 1;
            assert!(may_be_begun || runs.is_empty(), "it wrote before its turn: {runs:?}");
        }
    }
}

impl FromStr for Line {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Vec<u32> = text.split(' ').flat_map(str::parse).collect();
        let [run, number, alive] = numbers[..] else {
            return Err(format!("{text:?} is not three numbers"));
        };
        Ok(Self { run, number: number.cast_signed(), alive })
    }
}

/// It is short, because there are many lines.
impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { run, number, alive } = self;
        write!(f, "{run:x}.{number}{}", if *alive > 0 { "!" } else { "" })
    }
}

fn insert(backend: DatabaseBackend, run: u32, number: i32) -> String {
    let insert = format!("INSERT INTO {TABLE} (run, line, pid, alive) SELECT {run}, {number}");
    if backend == DatabaseBackend::Sqlite {
        return format!("{insert}, 0, 0");
    }
    format!(
        "{insert}, pg_backend_pid(), count(*) FROM pg_stat_activity s WHERE s.pid <> pg_backend_pid()
         AND s.pid IN (SELECT pid FROM {TABLE} WHERE run <> {run})"
    )
}

/// Returns when so many lines can be seen.
pub async fn wait_for_lines(place: &Place, wanted: usize) {
    let (onlooker, deadline) = (place.look().await, Instant::now() + LIMIT);
    // The query fails until the table exists.
    while texts(&onlooker, LINES).await.map_or(0, |lines| lines.len()) < wanted {
        assert!(Instant::now() < deadline, "there are no {wanted} lines after {LIMIT:?}");
        sleep(Duration::from_millis(10)).await;
    }
    let closed = onlooker.disconnect().await;
    closed.unwrap_or_else(|error| panic!("{}", error.explain()));
}
