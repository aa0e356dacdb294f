//! `onerow new`: the next migration, to be written.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use toml_edit::DocumentMut;

use super::{
    consistency::{self, Files},
    error::ProjectError,
    files::all_or_nothing,
    listing::Listing,
    place::{self, shown},
    report::{Next, Report},
    template::{self, fill},
};
use crate::migration;

/// Which migration to begin, and where.
#[derive(Args)]
pub(in crate::cli) struct NewArgs {
    /// What it does, in a few words
    #[arg(value_parser = description)]
    description: String,

    /// The crate of migrations [default: the nearest above, or migration, in the workspace's root]
    #[arg(long, value_name = "DIR", env = "ONEROW_DIR")]
    dir: Option<PathBuf>,
}

fn description(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("it says what the migration does, so it cannot be empty".to_owned()),
        text if text.contains(char::is_control) => Err("it has to be a single line of text".to_owned()),
        text => Ok(text.to_owned()),
    }
}

/// Writes the file and registers it.
pub(super) fn new(args: &NewArgs) -> Result<Report, ProjectError> {
    let current = place::current_dir()?;
    let package = match &args.dir {
        Some(dir) => place::resolve(&current, dir),
        None => place::migrations(&current)?,
    };
    let src = package.join("src");
    let lib = src.join("lib.rs");
    let before = fs::read_to_string(&lib).map_err(ProjectError::io("read", &lib))?;
    let next = Successor::new(&src, &before)?;
    let file = src.join(format!("{}.rs", next.name));
    all_or_nothing(|changes| {
        changes.add_file(&file, &next.file(&args.description))?;
        changes.replace(&lib, &before, &next.lib)
    })?;
    Ok(report(&package, &next.name, &file, &lib))
}

/// The migration behind the last.
struct Successor {
    version: i32,
    name: String,
    /// The function that gives the registry.
    registry: String,
    /// The `lib.rs` that has it.
    lib: String,
}

impl Successor {
    fn new(src: &Path, lib: &str) -> Result<Self, ProjectError> {
        // `proc-macro2` counts from behind the mark.
        let (mark, text) = lib.strip_prefix('\u{feff}').map_or(("", lib), |text| ("\u{feff}", text));
        let listing = Listing::parse(&src.join("lib.rs"), text)?;
        let files = Files::read(src).map_err(ProjectError::io("read", src))?;
        let problems = consistency::problems(&listing, &files, &shown(src));
        if !problems.is_empty() {
            return Err(ProjectError::Inconsistent { src: shown(src), problems });
        }
        let version = i32::try_from(listing.items.len()).unwrap_or(i32::MAX);
        Ok(Self {
            version,
            name: migration::name(version),
            registry: listing.function.clone().unwrap_or_else(|| "registry".to_owned()),
            lib: format!("{mark}{}", listing.with(version)),
        })
    }

    fn file(&self, description: &str) -> String {
        let values = [
            ("name", self.name.as_str()),
            ("version", &self.version.to_string()),
            ("registry", &self.registry),
            ("description", &format!("{description:?}")),
        ];
        fill(template::NEXT, &values)
    }
}

fn report(package: &Path, name: &str, file: &Path, lib: &Path) -> Report {
    let package = package_name(package);
    let test = Next::new(format!("cargo test -p {package} {name}"), format!("red until {name} is written"));
    Report {
        package,
        migration: Some(name.to_owned()),
        written: vec![shown(file)],
        changed: vec![shown(lib)],
        note: Some(format!("{name} is yours to write. Until then it refuses to run, and its test is red")),
        next: vec![test],
    }
}

/// What the manifest says, if that can be read.
fn package_name(package: &Path) -> String {
    let manifest = fs::read_to_string(package.join("Cargo.toml")).ok();
    let manifest = manifest.and_then(|text| text.parse::<DocumentMut>().ok());
    let name = manifest.and_then(|manifest| Some(manifest.get("package")?.get("name")?.as_str()?.to_owned()));
    name.unwrap_or_else(|| package.file_name().unwrap_or_default().to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A `src` with migrations up to m0001 and this `lib.rs`.
    fn src(lib: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("lib.rs", lib), ("m0000.rs", ""), ("m0001.rs", "")] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        dir
    }

    #[test]
    fn the_next_migration_has_the_next_number_and_the_registry_of_this_crate() {
        let lib = "mod m0000;\nmod m0001;\npub fn all() -> Registry { registry![m0000, m0001] }\n";

        let next = Successor::new(src(lib).path(), lib).unwrap();

        assert_eq!((next.version, next.name.as_str()), (2, "m0002"));
        let file = next.file("add due date");
        assert!(file.contains("use crate::all;") && file.contains("database_before(all(), 2)"), "{file}");
        assert!(file.contains("\"m0002 is not written yet\"") && file.contains("\"add due date\""), "{file}");
    }

    #[test]
    fn a_byte_order_mark_stays_where_it_is() {
        let lib = "\u{feff}mod m0000;\nmod m0001;\nregistry![m0000, m0001]";

        let next = Successor::new(src(lib).path(), lib).unwrap();

        assert_eq!(next.lib, "\u{feff}mod m0000;\nmod m0001;\nmod m0002;\nregistry![m0000, m0001, m0002]");
    }

    #[test]
    fn a_description_is_one_line_and_any_text_at_all() {
        for wrong in ["", "  ", "two\nlines", "two\r\nlines", "a\0b"] {
            assert!(description(wrong).is_err(), "{wrong:?}");
        }
        let lib = "mod m0000;\nmod m0001;\nregistry![m0000, m0001]";
        let next = Successor::new(src(lib).path(), lib).unwrap();
        let file = next.file(&description(" \"quotes\", C:\\ and {{name}} für alle ").unwrap());
        assert!(file.contains(r#"        "\"quotes\", C:\\ and {{name}} für alle""#), "{file}");
    }
}
