//! The raw data: a file of JSON for each section.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::machine::Machine;

/// The data of a section, and the machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Recorded<T> {
    pub machine: Machine,
    /// Whether the numbers were small, only to see that all works.
    pub is_quick: bool,
    /// How long it took.
    pub seconds: f64,
    pub data: T,
}

impl<T: Serialize + DeserializeOwned> Recorded<T> {
    pub fn write(&self, dir: &Path, section: &str) -> Result<()> {
        fs::create_dir_all(dir)?;
        let path = path(dir, section);
        fs::write(&path, one_run_a_line(&serde_json::to_value(self)?)? + "\n")
            .with_context(|| path.display().to_string())
    }

    /// `None` if it was never measured.
    pub fn read(dir: &Path, section: &str) -> Result<Option<Self>> {
        let path = path(dir, section);
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path)?;
        serde_json::from_str(&text).map(Some).with_context(|| path.display().to_string())
    }
}

fn path(dir: &Path, section: &str) -> PathBuf {
    dir.join(format!("{section}.json"))
}

/// Differences must be easy to read: objects of objects are spread out, and each entry of a list is
/// a line.
fn one_run_a_line(value: &serde_json::Value) -> Result<String> {
    use serde_json::Value;
    Ok(match value {
        Value::Object(fields) => {
            let fields: Result<Vec<_>> = fields
                .iter()
                .map(|(name, value)| {
                    Ok(format!("{}: {}", Value::from(name.as_str()), one_run_a_line(value)?))
                })
                .collect();
            format!("{{\n{}\n}}", fields?.join(",\n"))
        }
        Value::Array(entries) if !entries.is_empty() => {
            let entries: Result<Vec<_>, _> = entries.iter().map(serde_json::to_string).collect();
            format!("[\n{}\n]", entries?.join(",\n"))
        }
        value => serde_json::to_string(value)?,
    })
}
