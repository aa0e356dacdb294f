//! The README and the guides in `docs/`: if a reader types in what they show, it works and prints
//! what they show.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
};

use onerow::{Database, ErrorKind, prelude::ConnectionTrait};
use onerow_testing::{Backend, PostgresServer};
use tempfile::TempDir;

use crate::harness::{MigrationCli, Reader, built, turn};

const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");

fn page(name: &str) -> String {
    fs::read_to_string(Path::new(REPOSITORY).join(name)).unwrap()
}

/// The directory of a program `onerow` that was installed from its package, if `bin/packages` runs
/// this test.
fn installed() -> Option<PathBuf> {
    env::var_os("ONEROW_INSTALLED").map(PathBuf::from)
}

/// A reader who has cargo, and the program that `cargo install` installs.
fn reader(dir: &Path) -> Reader {
    let programs = installed().unwrap_or_else(|| built("onerow").parent().unwrap().to_owned());
    let path = format!("{}:{}", programs.display(), env::var("PATH").unwrap());
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("target");
    Reader::new(
        dir,
        &[
            ("PATH", &path),
            ("CARGO_TARGET_DIR", target.to_str().unwrap()),
            // As this workspace builds its dependencies, so that they are not built a second time.
            ("CARGO_PROFILE_DEV_DEBUG", "line-tables-only"),
        ],
    )
}

/// A directory to begin in, and the lock that lets one test build at a time.
struct Start {
    dir: TempDir,
    _turn: File,
}

/// A directory that holds only `shop`, as `cargo new` makes it, with this repository's versions of
/// the dependencies.
fn shop() -> Start {
    let turn = turn();
    let dir = tempfile::tempdir().unwrap();
    let (printed, code) = reader(dir.path()).run("cargo new shop && onerow init --help");
    assert_eq!(code, 0, "{printed}");
    fs::copy(Path::new(REPOSITORY).join("Cargo.lock"), dir.path().join("shop/Cargo.lock")).unwrap();
    Start { dir, _turn: turn }
}

#[test]
fn the_readme_leads_from_nothing_to_a_migrated_database_with_a_tested_migration() {
    if !Backend::Postgres.is_wanted() {
        return;
    }
    let server = PostgresServer::start().unwrap();
    let shop = shop();
    let readme = page("README.md");
    // A reader runs this in a checkout. Here the program is built already.
    let install = "cargo install --locked --path crates/onerow-cli";
    assert!(readme.contains(&format!("$ {install}\n")));
    let url = server.url("shop");
    let address = format!("127.0.0.1:{}", server.port());
    let mut reader = reader(shop.dir.path())
        .meaning(install, "true")
        .meaning("cargo new shop", "true")
        .meaning("postgres://postgres:secret@localhost:5432/shop", &url)
        .meaning("localhost:5432", &address);

    reader.follow(&readme);

    let manifest = fs::read_to_string(shop.dir.path().join("shop/migration/Cargo.toml")).unwrap();
    let source = if installed().is_some() { "onerow = { version" } else { "onerow = { path" };
    assert!(manifest.contains(source), "{manifest}");
}

#[test]
fn the_guide_can_be_followed() {
    let shop = shop();
    let mut reader = reader(&shop.dir.path().join("shop"));
    assert_eq!(reader.run("onerow init").1, 0);

    reader.follow(&page("docs/guide.md"));
}

/// An empty workspace for a crate `migration`, with this repository's versions of the
/// dependencies.
fn workspace() -> Start {
    let turn = turn();
    // Not below this repository, because expect-test takes the outermost workspace for the one
    // under test.
    let dir = tempfile::tempdir().unwrap();
    let manifest = format!(
        "[workspace]\nmembers = [\"migration\"]\nresolver = \"3\"\n\n\
         [patch.crates-io]\n\
         onerow = {{ path = \"{REPOSITORY}/crates/onerow\" }}\n\
         onerow-cli = {{ path = \"{REPOSITORY}/crates/onerow-cli\" }}\n\
         onerow-testing = {{ path = \"{REPOSITORY}/crates/onerow-testing\" }}\n"
    );
    fs::write(dir.path().join("Cargo.toml"), manifest).unwrap();
    fs::copy(Path::new(REPOSITORY).join("Cargo.lock"), dir.path().join("Cargo.lock")).unwrap();
    Start { dir, _turn: turn }
}

#[test]
fn the_guide_to_moving_can_be_followed() {
    let workspace = workspace();

    reader(workspace.dir.path()).follow(&page("docs/moving.md"));
}

#[test]
fn the_guide_to_testing_can_be_followed() {
    let workspace = workspace();
    let dir = &workspace.dir;
    let mut reader = reader(dir.path());

    reader.follow(&page("docs/testing.md"));

    for command in ["UPDATE_EXPECT=1 cargo test", "cargo test"] {
        let (printed, code) = reader.run(command);
        assert!(code == 0 && printed.contains("test result: ok. 8 passed"), "{printed}");
    }
    assert!(dir.path().join("migration/schema.sqlite.txt").exists());
}

/// The calls of `migration` in an example, as commands of a shell.
fn calls(example: &str) -> Vec<String> {
    let call = |line: &str| {
        let between = |begin: &str, end: &str| line.trim().strip_prefix(begin)?.strip_suffix(end);
        let script = || between("command: [sh, -c, \"", "\"]").map(str::to_owned);
        let words = || between("command: [", "]").map(|words| words.replace(", ", " "));
        let of_cargo = || {
            between("cargo run --locked -p migration --", "").map(|rest| format!("migration{rest}"))
        };
        script().or_else(words).or_else(of_cargo)
    };
    example.lines().filter_map(call).collect()
}

#[test]
fn the_examples_for_deploying_run() {
    let cli = MigrationCli::new();
    let mut called = 0;
    for name in ["github-actions.yml", "kubernetes.yaml", "kubernetes-job.yaml"] {
        for call in calls(&page(&format!("docs/deploying/{name}"))) {
            cli.shell(&call).done();
            called += 1;
        }
    }
    assert_eq!(called, 5);
}

#[tokio::test]
async fn an_init_container_lets_the_app_start_as_the_page_on_deploying_says() {
    // On a database that is behind this build, at its version, and ahead of it.
    let expected = [[Some(1), Some(0), Some(0)], [Some(0), Some(0), Some(0)]];
    let scripts = calls(&page("docs/deploying.md"));
    assert_eq!(scripts.len(), expected.len());
    for (script, expected) in scripts.iter().zip(expected) {
        let cli = MigrationCli::new();
        let behind = cli.shell(script).code;
        cli.run(&["up"]).done();
        let current = cli.shell(script).code;
        let url = format!("sqlite://{}", cli.dir().join("database.sqlite").display());
        let db = Database::connect(url).await.unwrap();
        db.execute_unprepared("UPDATE schema_migration SET version = 9").await.unwrap();
        assert_eq!([behind, current, cli.shell(script).code], expected, "{script}");
        assert_eq!(cli.run(&["check"]).code, Some(4));
    }
}

#[test]
fn what_a_page_quotes_stands_in_the_repository() {
    let mut quoted = 0;
    for name in ["README.md", "docs/guide.md", "docs/moving.md", "docs/testing.md"] {
        for block in page(name).split("\n```rust,quoted\n// ").skip(1) {
            let (path, block) = block.split_once('\n').unwrap();
            let block = block.split("\n```").next().unwrap();
            assert!(page(path).contains(block), "{name} quotes what is not in {path}:\n{block}");
            quoted += 1;
        }
    }
    assert_eq!(quoted, 7);
}

#[test]
fn the_guide_has_a_way_out_of_every_error() {
    let guide = page("docs/guide.md");
    let source = page("crates/onerow-cli/src/command_error.rs");
    let kinds = source.split("fn kind(&self)").nth(1).unwrap().split("\n    }\n").next().unwrap();
    let kinds: Vec<_> =
        kinds.split("=> \"").skip(1).map(|kind| kind.split('"').next().unwrap()).collect();
    assert!(kinds.len() > 5);
    for kind in kinds.into_iter().chain(ErrorKind::ALL.iter().map(|kind| kind.as_str())) {
        // This is the result of `check`, which has exit codes of its own.
        assert!(kind == "not_current" || guide.contains(&format!("`{kind}`")), "{kind}");
    }
}
