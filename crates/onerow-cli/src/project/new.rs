//! `onerow new`: writes the file of the next migration, and adds it to the registry.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{
    error::ProjectError,
    files::all_or_nothing,
    listing::Listing,
    place,
    shown::shown,
    summary::{Next, Summary},
    template::{self, fill},
};
use onerow::module_name;

/// Which migration to begin, and in which crate.
#[derive(Args)]
pub(crate) struct NewArgs {
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
        text if text.contains(char::is_control) => Err("it has to be one line of text".to_owned()),
        text => Ok(text.to_owned()),
    }
}

/// `compiled` is the next number in the registry that this program was compiled with, if any.
pub(super) fn new(args: &NewArgs, compiled: Option<i32>) -> Result<Summary, ProjectError> {
    let current = place::current_dir()?;
    let package = match &args.dir {
        Some(dir) => place::resolve(&current, dir),
        None => place::migrations(&current)?,
    };
    let compiled = compiled.filter(|_| !place::runs_another(&package));
    let lib = package.join("src/lib.rs");
    let before = fs::read_to_string(&lib).map_err(ProjectError::io("read", &lib))?;
    let next = Successor::new(&package, &before, compiled)?;
    let file = package.join(format!("src/{}.rs", next.name));
    // Or a folder with a `mod.rs`.
    if file.exists() || file.with_extension("").exists() {
        return Err(ProjectError::Unlisted {
            file: shown(&file),
            lib: shown(&lib),
            name: next.name,
        });
    }
    all_or_nothing(|changes| {
        changes.add_file(&file, &next.file(&args.description))?;
        changes.replace(&lib, &before, &next.lib)
    })?;
    Ok(summary(&package, &next.name, &file, &lib))
}

/// The migration after the last. Whether the others fit together is for the compiler to say.
struct Successor {
    version: i32,
    name: String,
    /// The function that returns the registry.
    registry: String,
    /// `lib.rs` with this migration.
    lib: String,
}

impl Successor {
    fn new(package: &Path, lib: &str, compiled: Option<i32>) -> Result<Self, ProjectError> {
        let path = package.join("src/lib.rs");
        // `proc-macro2` counts from after the byte-order mark.
        let (mark, text) =
            lib.strip_prefix('\u{feff}').map_or(("", lib), |text| ("\u{feff}", text));
        let listing = Listing::parse(&path, text)?;
        let version = listing.next().or(compiled).ok_or_else(|| ProjectError::Unnumbered {
            path: shown(&path),
            package: package_name(package),
        })?;
        let name = module_name(version);
        let registry = listing.function().unwrap_or_else(|| "registry".to_owned());
        let lib = format!("{mark}{}", listing.with(&name));
        Ok(Self { version, name, registry, lib })
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

fn summary(package: &Path, name: &str, file: &Path, lib: &Path) -> Summary {
    let package = package_name(package);
    let test = format!("cargo test -p {package} {name}");
    let next = vec![Next::new(test, format!("red until {name} is written"))];
    let note =
        format!("{name} is yours to write. Until then it refuses to run, and its test is red");
    Summary {
        package,
        migration: Some(name.to_owned()),
        written: vec![shown(file)],
        changed: vec![shown(lib)],
        note: Some(note),
        next,
    }
}

/// The name in the manifest, or that of the directory if the manifest cannot be read.
fn package_name(package: &Path) -> String {
    let name = place::manifest(package)
        .and_then(|manifest| Some(manifest.get("package")?.get("name")?.as_str()?.to_owned()));
    name.unwrap_or_else(|| package.file_name().unwrap_or_default().to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn successor(lib: &str, compiled: Option<i32>) -> Result<Successor, ProjectError> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("Cargo.toml"), "[package]\nname = \"my-schema\"\n").unwrap();
        Successor::new(dir.path(), lib, compiled)
    }

    #[test]
    fn the_next_migration_has_the_next_number_and_the_registry_of_this_crate() {
        let lib = "mod m0000;\nmod m0001;\npub fn all() -> Registry { registry![m0000, m0001] }\n";
        let next = successor(lib, None).unwrap();

        assert_eq!((next.version, next.name.as_str()), (2, "m0002"));
        let file = next.file("add due date");
        assert!(
            file.contains("use crate::all;") && file.contains("database_before(all(), 2)"),
            "{file}"
        );
        assert!(
            file.contains("\"m0002 is not written yet\"") && file.contains("\"add due date\""),
            "{file}"
        );
    }

    #[test]
    fn the_list_has_the_number_whatever_was_compiled() {
        for compiled in [None, Some(0), Some(13), Some(20)] {
            for (list, name) in
                [("", "m0000"), ("m0000", "m0001"), ("..BASE, m0012, m0013", "m0014")]
            {
                let next = successor(&format!("registry![{list}]"), compiled).unwrap();
                assert_eq!(next.name, name);
            }
        }
    }

    #[test]
    fn the_compiled_registry_knows_the_first_number_after_a_base() {
        let lib = "mod old;\n\npub fn registry() -> Registry {\n    registry![..old::base()]\n}\n";

        let next = successor(lib, Some(12)).unwrap();

        let after = lib.replace("old;\n", "old;\nmod m0012;\n").replace("base()", "base(), m0012");
        assert_eq!((next.name.as_str(), next.lib), ("m0012", after));
    }

    #[test]
    fn an_unknown_number_is_refused_with_the_command_that_knows_it() {
        let error = successor("registry![..BASE]", None).err().unwrap();

        assert!(matches!(error, ProjectError::Unnumbered { .. }), "{error}");
        assert!(error.to_string().ends_with("nothing was changed"), "{error}");
        assert!(
            error.next_step().ends_with("cargo run -p my-schema -- new \"…\""),
            "{}",
            error.next_step()
        );
    }

    #[test]
    fn a_byte_order_mark_stays_where_it_is() {
        let next = successor("\u{feff}mod m0000;\nregistry![m0000]", None).unwrap();

        assert_eq!(next.lib, "\u{feff}mod m0000;\nmod m0001;\nregistry![m0000, m0001]");
    }

    #[test]
    fn a_description_is_one_line_and_any_text_at_all() {
        for wrong in ["", "  ", "two\nlines", "two\r\nlines", "a\0b"] {
            assert!(description(wrong).is_err(), "{wrong:?}");
        }
        let next = successor("registry![]", None).unwrap();
        let file = next.file(&description(" \"quotes\", C:\\ and {{name}} für alle ").unwrap());
        assert!(file.contains(r#"        "\"quotes\", C:\\ and {{name}} für alle""#), "{file}");
    }
}
