//! What to look at in a database that was taken over.

use std::{
    fmt::{self, Write},
    hash::{Hash, Hasher},
};

use sha2::{Digest, Sha384};
use siphasher::sip::SipHasher13;

use super::history::{Entry, History};
use crate::{migration::module_name, registry::Registry, tool::Tool};

/// What does not keep [`Adopt`](crate::Adopt) from taking over a database, but is worth a look.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdoptionWarning {
    /// A script is not the one that was applied, according to the checksum that the old tool kept.
    Edited {
        /// The version of the migration.
        migration: i32,
        /// What the registry calls the script.
        name: String,
        /// The old tool.
        tool: Tool,
    },
    /// Keys are serial columns, as sea-orm-migration 1 made them, and the SeaORM of this build
    /// makes identity columns. So a new database will have another schema than this one.
    SerialKeys {
        /// The keys, each as `table.column`.
        columns: Vec<String>,
    },
}

impl AdoptionWarning {
    /// The name for machines, such as `edited`. It stays the same when the text is reworded.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Edited { .. } => "edited",
            Self::SerialKeys { .. } => "serial_keys",
        }
    }
}

/// How many columns the text names at most.
const NAMED: usize = 3;

impl fmt::Display for AdoptionWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Edited { migration, name, tool } => write!(
                f,
                "{name} was edited after {tool} had applied it, according to the checksum: {} does \
                 not run here, so the change is not in this database; make it in a new migration, \
                 or put the file back",
                module_name(*migration)
            ),
            Self::SerialKeys { columns } => {
                let (named, others) = columns.split_at(columns.len().min(NAMED));
                let named = named.join(", ");
                let more = if others.is_empty() {
                    String::new()
                } else {
                    format!(" and {} more", others.len())
                };
                write!(
                    f,
                    "{named}{more} are serial columns, but this build makes identity columns of \
                     the same code: to give new databases the same schema, build with the feature \
                     \"postgres-use-serial-pk\" of sea-orm"
                )
            }
        }
    }
}

/// Warns of each script up to this version that is not the one that was applied.
pub(super) fn edited(registry: &Registry, history: &History, version: i32) -> Vec<AdoptionWarning> {
    let tool = history.tool;
    let scripts = registry.migrations().filter(|(number, _)| *number <= version);
    let edited = scripts.filter_map(|(migration, script)| {
        let (text, name) = (script.script()?, *script.replaces().first()?);
        let key = tool.key(name)?;
        let entry = history.entries.iter().find(|entry| entry.key == key)?;
        let is_edited = !is_of(tool, entry, text)?;
        is_edited.then(|| AdoptionWarning::Edited { migration, name: name.into(), tool })
    });
    edited.collect()
}

/// Whether the script is the one that was applied. `None` if the tool kept no checksum.
fn is_of(tool: Tool, entry: &Entry, script: &str) -> Option<bool> {
    let checksum = entry.checksum.as_ref().filter(|checksum| !checksum.is_empty())?;
    let is_same = |text: &String| match tool {
        Tool::Refinery => of_refinery(&entry.key, text).iter().any(|sum| sum == checksum),
        _ => of_sqlx(text).eq_ignore_ascii_case(checksum),
    };
    Some(forms(script).iter().any(is_same))
}

/// The forms of the script that count as the same: with either kind of line ends, with and without
/// the byte order mark that [`SqlMigration`](crate::SqlMigration) leaves out, and without the
/// characters that the documentation of sqlx suggests for its setting `ignored-chars`.
fn forms(script: &str) -> [String; 5] {
    let unix = script.replace("\r\n", "\n");
    let windows = unix.replace('\n', "\r\n");
    let bare = script.replace([' ', '\t', '\r', '\n'], "");
    [format!("\u{feff}{unix}"), format!("\u{feff}{windows}"), unix, windows, bare]
}

/// <https://docs.rs/sqlx-core/0.9.0/src/sqlx_core/migrate/migration.rs.html>
fn of_sqlx(text: &str) -> String {
    Sha384::digest(text).iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

/// <https://docs.rs/refinery-core/0.10.1/src/refinery_core/runner.rs.html>. With refinery's feature
/// `int8-versions`, a version has eight bytes.
fn of_refinery(key: &str, text: &str) -> Vec<String> {
    let (version, name) = key.split_once("__").unwrap_or_default();
    let long: i64 = version.parse().unwrap_or_default();
    let sums = i32::try_from(long).ok().map(|version| sum(name, version, text));
    sums.into_iter().chain([sum(name, long, text)]).map(|sum| sum.to_string()).collect()
}

fn sum(name: &str, version: impl Hash, text: &str) -> u64 {
    let mut hasher = SipHasher13::new();
    name.hash(&mut hasher);
    version.hash(&mut hasher);
    text.hash(&mut hasher);
    hasher.finish()
}
