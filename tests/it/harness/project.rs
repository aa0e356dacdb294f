//! A cargo project outside this workspace, as a user of onerow has one.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

const WORKSPACE: &str = env!("CARGO_MANIFEST_DIR");

pub struct Project {
    dir: PathBuf,
}

impl Project {
    /// An empty workspace of this name with these members, in the directory of builds: it is built again only where something has changed.
    pub fn new(name: &str, members: &[&str]) -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&dir);
        let project = Self { dir };
        project.write("Cargo.toml", &manifest(members));
        // The versions that were tested, which are downloaded already.
        fs::copy(Path::new(WORKSPACE).join("Cargo.lock"), project.dir.join("Cargo.lock")).unwrap();
        project
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Runs cargo, which must succeed; gives what it printed.
    #[track_caller]
    pub fn cargo(&self, arguments: &[&str], variables: &[(&str, &str)]) -> String {
        let Output { status, stdout, stderr } = Command::new(env!("CARGO"))
            .args(arguments)
            .current_dir(&self.dir)
            .env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("target"))
            .env_remove("CARGO_MANIFEST_DIR")
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&stdout) + String::from_utf8_lossy(&stderr);
        assert!(status.success(), "cargo {}\n{output}", arguments.join(" "));
        output.into_owned()
    }
}

/// Onerow is this one, and dependencies are built as this workspace builds them.
fn manifest(members: &[&str]) -> String {
    let own = fs::read_to_string(Path::new(WORKSPACE).join("Cargo.toml")).unwrap();
    let profiles = own.find("[profile.dev]").map_or("", |at| &own[at..]);
    format!(
        "[workspace]\nmembers = {members:?}\nresolver = \"3\"\n\n\
         [patch.crates-io]\nonerow = {{ path = \"{WORKSPACE}/onerow\" }}\n\n{profiles}"
    )
}
