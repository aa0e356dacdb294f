//! What can go wrong with a project's files.

use std::{error::Error as StdError, io, path::Path};

use super::shown::shown;

/// Why `init` or `new` was refused, or failed and was undone. Each but `NotPutBack` leaves the
/// files as they were.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProjectError {
    #[error("there is no Cargo.toml in {dir} or above it; nothing was changed")]
    NoProject { dir: String },
    #[error("cargo does not accept {what}; nothing was changed")]
    Cargo { what: String, source: CargoError },
    #[error("{path} does not parse; nothing was changed")]
    Manifest { path: String, source: toml_edit::TomlError },
    #[error("`{key}` in {path} is not what cargo expects there; nothing was changed")]
    ManifestShape { path: String, key: &'static str },
    #[error("{manifest} excludes {dir} from the workspace, by \"{entry}\"; nothing was changed")]
    Excluded { manifest: String, dir: String, entry: String },
    #[error("{dir} exists already; nothing was changed")]
    Exists { dir: String },
    #[error("{dir} is a crate of sea-orm-migration already; nothing was changed")]
    OtherMigrator { dir: String },
    #[error("{dir} is not inside the workspace {root}; nothing was changed")]
    Outside { dir: String, root: String },
    #[error("\"{name}\", the end of {dir}, cannot be the name of a package; nothing was changed")]
    PackageName { dir: String, name: String },

    #[error("no crate of migrations was found in {dir} or above it; nothing was changed")]
    NoMigrations { dir: String },
    #[error("{path}:{line} does not parse; nothing was changed")]
    Syntax { path: String, line: usize },
    #[error("there is no `registry![…]` in {path}; nothing was changed")]
    NoRegistry { path: String },
    #[error("`registry!` is in {path} more than once, in lines {lines}; nothing was changed")]
    SeveralRegistries { path: String, lines: String },
    #[error("the list in {path} does not end with a migration to count from; nothing was changed")]
    Unnumbered { path: String, package: String },
    #[error("{file} exists already, but {lib} does not list it as the last; nothing was changed")]
    Unlisted { file: String, lib: String, name: String },

    #[error("cannot {operation} {path}; nothing was changed")]
    Io { operation: &'static str, path: String, source: io::Error },
    #[error("{path} could not be put back, so it has its new text; all else is as it was")]
    NotPutBack { path: String, source: io::Error },
}

/// What cargo says when it refuses.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct CargoError(pub(super) String);

impl ProjectError {
    pub(super) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { operation, path: shown(path), source }
    }

    /// What to do next, as a sentence.
    pub(crate) fn next_step(&self) -> String {
        let text = match self {
            Self::NoProject { .. } => "go to your project, or begin one: cargo init",
            Self::Cargo { .. } | Self::Io { .. } | Self::Manifest { .. } => {
                "correct that, then type the command again"
            }
            Self::Syntax { .. } => "correct what cargo check finds, then type the command again",
            Self::ManifestShape { .. } => {
                "make it a list of strings, or a table; then type the command again"
            }
            Self::Excluded { entry, .. } => {
                return format!(
                    "take \"{entry}\" out of `exclude`, or write elsewhere: onerow init --dir DIR"
                );
            }
            Self::Exists { .. } => {
                "to add to it: onerow new \"add due date\"; for another crate: \
                 onerow init --dir DIR"
            }
            Self::OtherMigrator { .. } => {
                "to move, see docs/moving.md; for another crate: onerow init --dir DIR"
            }
            Self::Outside { .. } => "name a directory inside it: onerow init --dir DIR",
            Self::PackageName { .. } => {
                "use letters, digits, - and _, a letter first: onerow init --dir DIR"
            }
            Self::NoMigrations { .. } => {
                "say where it is: onerow new \"…\" --dir DIR; or start one: onerow init"
            }
            Self::NoRegistry { .. } => {
                "begin it, onerow::registry![]; or add by hand: `mod m0007;` and, in the list, \
                 `, m0007`"
            }
            Self::SeveralRegistries { .. } => {
                "leave only one; or add by hand: `mod m0007;` and, in the right one, `, m0007`"
            }
            Self::Unnumbered { package, .. } => {
                return format!(
                    "ask the crate, which knows its base: cargo run -p {package} -- new \"…\""
                );
            }
            Self::Unlisted { name, .. } => {
                return format!(
                    "add it by hand: `mod {name};` and, in the list, `, {name}`; or delete the file"
                );
            }
            Self::NotPutBack { .. } => "take what was added out of it by hand",
        };
        text.into()
    }

    /// The causes, outermost first; what cargo says may have several lines.
    pub(crate) fn causes(&self) -> Vec<String> {
        let causes = std::iter::successors(self.source(), |&cause| cause.source());
        causes.map(|cause| cause.to_string().trim_end().replace('\n', "\n    ")).collect()
    }
}
