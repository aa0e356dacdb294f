//! A cargo project outside this workspace, like that of a user of onerow.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use super::{built, migration_cli::Outcome, program};

const WORKSPACE: &str = env!("CARGO_MANIFEST_DIR");

pub struct Project {
    dir: PathBuf,
    _turn: File,
}

/// The lock lets one project build at a time. In one build directory, cargo takes the `migration`
/// of two workspaces for the same package, and builds it again only if its files are newer than its
/// output.
pub fn turn() -> File {
    let turn = File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("projects.lock")).unwrap();
    turn.lock().unwrap();
    turn
}

impl Project {
    /// Makes a directory of this name inside the build directory, with a `Cargo.toml` that begins
    /// like this. It is built again only if something has changed.
    pub fn with_manifest(name: &str, manifest: &str) -> Self {
        let turn = turn();
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&dir);
        let project = Self { dir, _turn: turn };
        project.write("Cargo.toml", &format!("{manifest}\n{}", profiles()));
        // These versions were tested, and are downloaded already.
        fs::copy(Path::new(WORKSPACE).join("Cargo.lock"), project.dir.join("Cargo.lock")).unwrap();
        project
    }

    pub fn path(&self) -> &Path {
        &self.dir
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.dir.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// The contents of every file, by its path.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut dirs = vec![self.dir.clone()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    dirs.push(path);
                } else {
                    files.insert(
                        path.strip_prefix(&self.dir).unwrap().to_owned(),
                        fs::read(&path).unwrap(),
                    );
                }
            }
        }
        files
    }

    /// Runs the program `onerow` in a directory of the project.
    pub fn onerow(&self, dir: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Outcome {
        let mut command = program(built("onerow"), &self.dir.join(dir));
        let cargo_needs = ["PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"];
        command.envs(
            env::vars_os().filter(|(name, _)| cargo_needs.iter().any(|needed| name == needed)),
        );
        Outcome::of(
            command.env("CARGO", env!("CARGO")).envs(variables.iter().copied()).args(arguments),
        )
    }

    /// Runs cargo, which must succeed. Returns its output.
    #[track_caller]
    pub fn cargo(&self, arguments: &[&str], variables: &[(&str, &str)]) -> String {
        let (success, output) = self.try_cargo(arguments, variables);
        assert!(success, "cargo {}\n{output}", arguments.join(" "));
        output
    }

    /// Runs cargo, which must fail. Returns its output.
    #[track_caller]
    pub fn cargo_fails(&self, arguments: &[&str]) -> String {
        let (success, output) = self.try_cargo(arguments, &[]);
        assert!(!success, "cargo {}\n{output}", arguments.join(" "));
        output
    }

    fn try_cargo(&self, arguments: &[&str], variables: &[(&str, &str)]) -> (bool, String) {
        let Output { status, stdout, stderr } = Command::new(env!("CARGO"))
            .args(arguments)
            .current_dir(&self.dir)
            .env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("target"))
            .env_remove("CARGO_MANIFEST_DIR")
            .env_remove("DATABASE_URL")
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&stdout) + String::from_utf8_lossy(&stderr);
        (status.success(), output.into_owned())
    }
}

/// The profiles by which this workspace builds its dependencies.
fn profiles() -> String {
    let own = fs::read_to_string(Path::new(WORKSPACE).join("Cargo.toml")).unwrap();
    own.find("[profile.dev]").map_or_else(String::new, |at| own[at..].to_owned())
}
