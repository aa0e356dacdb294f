//! What can go wrong with a project's files.

use std::{error::Error as StdError, io, path::Path};

use super::place::shown;

/// Why `init` or `new` refused, or failed and was undone. Each but `NotPutBack` leaves the files as they were.
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

    #[error("no crate of migrations was found from {dir} upward; nothing was changed")]
    NoMigrations { dir: String },
    #[error("{path}:{line} does not parse; nothing was changed")]
    Syntax { path: String, line: usize },
    #[error("there is no `registry![…]` in {path}; nothing was changed")]
    NoRegistry { path: String },
    #[error("`registry!` is in {path} more than once, in the lines {lines}; nothing was changed")]
    SeveralRegistries { path: String, lines: String },
    #[error(
        "no migration is listed behind the base in {path}, and how many the base has is not written there; nothing was changed"
    )]
    Unnumbered { path: String, package: String },
    #[error(
        "the next migration is {listed} by the list in {path}, and {compiled} by the registry of this program; nothing was changed"
    )]
    Disagreement { path: String, package: String, listed: String, compiled: String },
    #[error("the migrations in {src} do not fit together; nothing was changed{}", list(.problems))]
    Inconsistent { src: String, problems: Vec<String> },

    #[error("cannot {operation} {path}; nothing was changed")]
    Io { operation: &'static str, path: String, source: io::Error },
    #[error("{path} could not be put back: it holds what was to be written; all else is as it was")]
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
            Self::NoProject { .. } => "go to your project, or begin one with: cargo init",
            Self::Cargo { .. } | Self::Io { .. } | Self::Manifest { .. } => {
                "mend that, then type the command again"
            }
            Self::Syntax { .. } => "mend what cargo check says of it, then type the command again",
            Self::ManifestShape { .. } => "write it as a list of strings, then type the command again",
            Self::Excluded { entry, .. } => {
                return format!(
                    "take \"{entry}\" out of `exclude`, or write it elsewhere: onerow init --dir DIR"
                );
            }
            Self::Exists { .. } => {
                "to add a migration to it: onerow new \"add due date\"; for another crate: onerow init --dir DIR"
            }
            Self::OtherMigrator { .. } => {
                "to go on from its migrations, see docs/moving.md; for another crate: onerow init --dir DIR"
            }
            Self::Outside { .. } => "name a directory inside it: onerow init --dir DIR",
            Self::PackageName { .. } => "use letters, digits, - and _, a letter first: onerow init --dir DIR",
            Self::NoMigrations { .. } => {
                "say where it is: onerow new \"…\" --dir DIR; or start one: onerow init"
            }
            Self::NoRegistry { .. } => "list the migrations there: onerow::registry![m0000, m0001]",
            Self::SeveralRegistries { .. } => "leave the one that the app uses, then type the command again",
            Self::Unnumbered { package, .. } => {
                return format!(
                    "ask the crate itself, which knows its base: cargo run -p {package} -- new \"…\""
                );
            }
            Self::Disagreement { package, .. } => {
                return format!(
                    "see that the list goes on with the number behind the base's last, then: cargo run -p {package} -- new \"…\""
                );
            }
            Self::Inconsistent { .. } => "mend each of these, then type the command again",
            Self::NotPutBack { .. } => "take the new crate out of it by hand",
        };
        text.into()
    }

    /// The causes, outermost first; what cargo says may have several lines.
    pub(crate) fn causes(&self) -> Vec<String> {
        let causes = std::iter::successors(self.source(), |&cause| cause.source());
        causes.map(|cause| cause.to_string().trim_end().replace('\n', "\n    ")).collect()
    }
}

fn list(problems: &[String]) -> String {
    problems.iter().flat_map(|problem| ["\n  ", problem]).collect()
}
