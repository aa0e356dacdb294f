//! Programs of other packages, because Cargo gives a test only those of its own.

use std::{
    collections::HashMap,
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use serde_json::Value;

/// The program of this name.
pub fn built(name: &str) -> &'static Path {
    let programs =
        PROGRAMS.as_ref().unwrap_or_else(|reason| panic!("the programs do not build: {reason}"));
    &programs[name]
}

/// They are built once for all tests, and together, so that all share the features of their
/// dependencies.
static PROGRAMS: LazyLock<Result<HashMap<String, PathBuf>, String>> = LazyLock::new(|| {
    let mut build = Command::new(env!("CARGO"));
    // `cargo test` sets these for this package. The build script of ring would take them for its
    // own, so that ring and all its dependents would be compiled again, here and at the next `cargo
    // test`.
    for (variable, _) in env::vars_os() {
        let name = variable.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            build.env_remove(&variable);
        }
    }
    let build = build
        .args([
            "build",
            "--package",
            "migration",
            "--bin",
            "migration",
            "--package",
            "onerow-cli",
            "--bin",
            "onerow",
            "--package",
            "subject",
            "--bin",
            "subject",
        ])
        .args(["--message-format", "json"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .map_err(|error| error.to_string())?;
    if !build.status.success() {
        return Err(String::from_utf8_lossy(&build.stderr).into_owned());
    }
    let messages = String::from_utf8_lossy(&build.stdout);
    let messages =
        messages.lines().filter_map(|message| serde_json::from_str::<Value>(message).ok());
    let programs = messages.filter_map(|message| {
        let path = PathBuf::from(message["executable"].as_str()?);
        Some((message["target"]["name"].as_str()?.to_owned(), path))
    });
    Ok(programs.collect())
});
