//! Finds the project, and asks cargo about it.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Component, Path, PathBuf},
    process::Command,
};

use toml_edit::DocumentMut;

use super::{
    error::{CargoError, ProjectError},
    listing::Listing,
    shown::{canonical_current_dir, shown},
};

/// The root of the workspace that a directory belongs to. A package on its own is its own root.
pub(super) fn workspace_root(dir: &Path) -> Result<PathBuf, ProjectError> {
    let Some(package) = dir.ancestors().find(|dir| dir.join("Cargo.toml").exists()) else {
        return Err(ProjectError::NoProject { dir: dir.display().to_string() });
    };
    let manifest = package.join("Cargo.toml");
    let what = shown(&manifest);
    let root =
        cargo(package, &["locate-project", "--workspace", "--message-format", "plain"], what)?;
    let root = Path::new(root.trim_end()).parent().unwrap_or(package);
    root.canonicalize().map_err(ProjectError::io("find", root))
}

/// Runs cargo in a directory, and returns what it prints.
pub(super) fn cargo(dir: &Path, arguments: &[&str], what: String) -> Result<String, ProjectError> {
    let program = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let output = Command::new(&program)
        .args(arguments)
        .current_dir(dir)
        .output()
        .map_err(ProjectError::io("run", Path::new(&program)))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let words = words.trim().strip_prefix("error: ").unwrap_or(words.trim()).to_owned();
    Err(ProjectError::Cargo { what, source: CargoError(words) })
}

/// The crate of migrations: the package that cargo runs, or else the nearest directory above, or
/// else the workspace's `migration/`.
pub(super) fn migrations(current: &Path) -> Result<PathBuf, ProjectError> {
    let above = current.ancestors().map(Path::to_owned);
    if let Some(found) = running().into_iter().chain(above).find(|dir| has_registry(dir)) {
        return Ok(found);
    }
    let usual = workspace_root(current)?.join("migration");
    if usual.join("src/lib.rs").is_file() {
        return Ok(usual);
    }
    Err(ProjectError::NoMigrations { dir: current.display().to_string() })
}

/// Whether cargo runs a program of another crate of migrations, which knows nothing about this one.
pub(super) fn runs_another(package: &Path) -> bool {
    running().is_some_and(|running| is_another(&running, package))
}

fn is_another(running: &Path, package: &Path) -> bool {
    has_registry(running) && running.canonicalize().ok() != package.canonicalize().ok()
}

/// The package that cargo runs.
fn running() -> Option<PathBuf> {
    env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from)
}

pub(super) fn has_registry(package: &Path) -> bool {
    let lib = package.join("src/lib.rs");
    // A file that does not parse counts too: the user then hears about it.
    let has = |text: String| {
        text.contains("registry!")
            && !matches!(Listing::parse(&lib, &text), Err(ProjectError::NoRegistry { .. }))
    };
    package.join("Cargo.toml").is_file() && fs::read_to_string(&lib).is_ok_and(has)
}

/// A package's manifest, if that can be read.
pub(super) fn manifest(package: &Path) -> Option<DocumentMut> {
    fs::read_to_string(package.join("Cargo.toml")).ok()?.parse().ok()
}

/// The directory that an argument names, without `.` and `..`. It need not exist.
pub(super) fn resolve(current: &Path, dir: &Path) -> PathBuf {
    let mut resolved = current.to_owned();
    for part in dir.components() {
        match part {
            Component::CurDir => (),
            Component::ParentDir => drop(resolved.pop()),
            part => resolved.push(part),
        }
    }
    resolved
}

pub(super) fn current_dir() -> Result<PathBuf, ProjectError> {
    canonical_current_dir().map_err(ProjectError::io("find", Path::new("the current directory")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(lib: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("src")).unwrap();
        fs::write(dir.path().join("Cargo.toml"), "").unwrap();
        fs::write(dir.path().join("src/lib.rs"), lib).unwrap();
        dir
    }

    #[test]
    fn a_program_of_one_crate_of_migrations_does_not_speak_for_another() {
        let (one, other) = (package("registry![]"), package("registry![..BASE]"));
        let app = package("pub fn run() { onerow_cli::run(migration::registry()); }");

        assert!(is_another(one.path(), other.path()));
        assert!(!is_another(one.path(), &one.path().join("src/..")));
        // It has its registry from elsewhere.
        assert!(!is_another(app.path(), other.path()));
    }
}
