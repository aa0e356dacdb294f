//! This test program again: as a process of its own, and as a program that can be built anew.

use std::{
    env,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use onerow::prelude::*;
use onerow_testing::Backend;
use tempfile::TempDir;

/// A copy of this program. Nobody else has templates of it.
pub struct Program {
    _dir: TempDir,
    path: PathBuf,
}

impl Program {
    pub fn copy() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("program");
        // Another process makes the copy: a file that we have open for writing may for a moment be
        // open in a child of another test too, and then it cannot be run.
        assert!(
            Command::new("cp")
                .arg(env::current_exe().unwrap())
                .arg(&path)
                .status()
                .unwrap()
                .success()
        );
        Self { _dir: dir, path }
    }

    /// Replaces the file at the same path, as the linker does when a migration was edited.
    pub fn rebuild(&self) {
        let append = format!("echo edited >>'{}'", self.path.display());
        assert!(Command::new("sh").args(["-c", &append]).status().unwrap().success());
    }

    /// Makes a database at this version, prints how many migrations that took, and holds it until
    /// it is killed or told to end.
    pub fn start(&self, backend: Backend, version: i32) -> Process {
        Process::of(&mut self.command(backend, version))
    }

    /// The same on the server of this URL.
    pub fn start_on(&self, url: &str, version: i32) -> Process {
        Process::of(self.command(Backend::Postgres, version).env("TEST_POSTGRES_URL", url))
    }

    /// Its complaint if it cannot make a database on that server.
    pub fn complains_of_server(&self, url: &str) -> String {
        let output =
            self.command(Backend::Postgres, 0).env("TEST_POSTGRES_URL", url).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    }

    fn command(&self, backend: Backend, version: i32) -> Command {
        let mut command = Command::new(&self.path);
        command
            .args(["--exact", "programs::a_process", "--ignored", "--nocapture"])
            .env("PROCESS_BACKEND", backend.name())
            .env("PROCESS_VERSION", version.to_string());
        command
    }

    /// How many migrations it took to make a database at this version.
    pub fn migrations_run(&self, backend: Backend, version: i32) -> u32 {
        let mut process = self.start(backend, version);
        let (run, _) = process.answer();
        process.end();
        run
    }
}

pub struct Process {
    pub child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Process {
    fn of(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    /// How many migrations ran, and the URL of the database.
    pub fn answer(&mut self) -> (u32, String) {
        let lines = (&mut self.output).lines().map_while(Result::ok);
        let line =
            lines.map(|line| line.split("made=").nth(1).map(str::to_owned)).find_map(|found| found);
        let line = line.expect("the process made a database");
        let (run, url) = line.split_once(' ').unwrap();
        (run.parse().unwrap(), url.to_owned())
    }

    pub fn end(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// The body of [`Program::start`], not a specification.
#[tokio::test]
#[ignore = "only as a process of another test"]
async fn a_process() {
    let (Ok(backend), Ok(version)) = (env::var("PROCESS_BACKEND"), env::var("PROCESS_VERSION"))
    else {
        return;
    };
    let backend = if backend == "sqlite" { Backend::Sqlite } else { Backend::Postgres };
    let db = backend.database_at(counted::registry(), version.parse().unwrap()).await;
    println!("made={} {}", counted::runs(), db.url());
    std::io::stdin().read_line(&mut String::new()).unwrap();
    drop(db);
}

/// Three migrations that count how often they run.
pub mod counted {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    static RUNS: AtomicU32 = AtomicU32::new(0);

    pub fn runs() -> u32 {
        RUNS.load(Ordering::Relaxed)
    }

    pub fn registry() -> Registry {
        Registry::new(vec![Box::new(Table::<0>), Box::new(Table::<1>), Box::new(Table::<2>)])
    }

    struct Table<const NUMBER: u32>;

    #[async_trait]
    impl<const NUMBER: u32> MigrationTrait for Table<NUMBER> {
        async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
            RUNS.fetch_add(1, Ordering::Relaxed);
            db.execute_unprepared(&format!("CREATE TABLE t{NUMBER} (id INTEGER)")).await.map(drop)
        }
    }
}
