//! quart-db, a Python library. Each version has its own virtual environment in the target
//! directory.

use std::{
    env,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use super::{Outcome, Place, path};

/// The last version of each layout of its table: up to 0.7, from 0.8 to 0.10, and since 0.11.
pub const VERSIONS: [&str; 3] = ["0.7.1", "0.10.1", "0.12.0"];

const VARIABLE: &str = "ONEROW_TEST_PYTHON";
const NONE: &str = "none";

/// Whether `ONEROW_TEST_PYTHON` lets the tests of quart-db run. If not, it prints which test it
/// leaves out.
#[must_use]
pub fn is_wanted() -> bool {
    let wanted = python() != NONE;
    if !wanted {
        let test = thread::current();
        // `eprintln!` would not do: the test harness hides what it prints if the test passes.
        let _ = writeln!(
            io::stderr(),
            "left out by {VARIABLE}={NONE}: quart-db in {}",
            test.name().unwrap_or("a test")
        );
    }
    wanted
}

/// Applies migrations with this version of quart-db until the first `count` are applied.
pub async fn migrate(version: &str, url: &str, count: usize) -> Outcome {
    let url = match Place::of(url) {
        Place::Postgres(url) => url.to_owned(),
        Place::Sqlite(file) => format!("sqlite:///{file}"),
    };
    let version = version.to_owned();
    let migrate = move || {
        let mut script = Command::new(python_with(&version)?);
        run(script.arg(path("quart_db/migrate.py")).arg(url).arg(count.to_string()))
    };
    tokio::task::spawn_blocking(migrate).await??;
    Ok(())
}

fn python() -> String {
    env::var(VARIABLE).ok().filter(|python| !python.is_empty()).unwrap_or_else(|| "python3".into())
}

/// The Python of this version's environment. The first process that needs it makes the environment.
fn python_with(version: &str) -> Result<PathBuf, String> {
    let series = "import ensurepip, sys; print('%d.%d' % sys.version_info[:2])";
    let series =
        run(Command::new(python()).args(["-c", series])).map_err(|error| missing(&error))?;
    let environment = target().join(format!("quart-db-{version}-python-{}", series.trim()));
    let lock = File::create(target().join("quart-db.lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    if !environment.exists() {
        make(version, &environment)?;
    }
    Ok(environment.join("bin/python"))
}

fn missing(error: &str) -> String {
    format!(
        "`{}` cannot make a virtual environment: {error}\n  \
         Debian: apt-get install python3-venv\n  \
         {VARIABLE}=/path/to/python names another, and {VARIABLE}={NONE} leaves quart-db out",
        python()
    )
}

/// The environment gets its name when it is complete, so one that has the name is complete.
fn make(version: &str, environment: &Path) -> Result<(), String> {
    let unfinished = environment.with_file_name("quart-db-unfinished");
    let _ = fs::remove_dir_all(&unfinished);
    run(Command::new(python()).args(["-m", "venv"]).arg(&unfinished))?;
    let mut install = Command::new(unfinished.join("bin/python"));
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    install.arg("--constraint").arg(path("quart_db/constraints.txt"));
    install.arg(format!("quart-db=={version}")).args(["quart", "asyncpg", "aiosqlite"]);
    run(&mut install)?;
    fs::rename(unfinished, environment).map_err(|error| error.to_string())
}

/// `target` of `target/debug/deps/spec-0123456789abcdef`.
fn target() -> PathBuf {
    let program = env::current_exe().unwrap();
    program.ancestors().nth(3).unwrap().to_owned()
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
