//! `onerow new`: the next migration, to be written.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{
    consistency::{self, Files},
    error::ProjectError,
    files::all_or_nothing,
    listing::Listing,
    place::{self, shown},
    report::{Next, Report},
    template::{self, fill},
};
use onerow::module_name;

/// Which migration to begin, and where.
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
        text if text.contains(char::is_control) => Err("it has to be a single line of text".to_owned()),
        text => Ok(text.to_owned()),
    }
}

/// Writes the file and registers it. The number is the next of the registry that this program was compiled with, if it was.
pub(super) fn new(args: &NewArgs, compiled: Option<i32>) -> Result<Report, ProjectError> {
    let current = place::current_dir()?;
    let package = match &args.dir {
        Some(dir) => place::resolve(&current, dir),
        None => place::migrations(&current)?,
    };
    let compiled = compiled.filter(|_| !place::runs_another(&package));
    let src = package.join("src");
    let lib = src.join("lib.rs");
    let before = fs::read_to_string(&lib).map_err(ProjectError::io("read", &lib))?;
    let next = Successor::new(&package, &before, compiled)?;
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
    fn new(package: &Path, lib: &str, compiled: Option<i32>) -> Result<Self, ProjectError> {
        let src = &package.join("src");
        // `proc-macro2` counts from behind the mark.
        let (mark, text) = lib.strip_prefix('\u{feff}').map_or(("", lib), |text| ("\u{feff}", text));
        let listing = Listing::parse(&src.join("lib.rs"), text)?;
        let files = Files::read(src).map_err(ProjectError::io("read", src))?;
        let problems = consistency::problems(&listing, &files, &shown(src));
        if !problems.is_empty() {
            return Err(ProjectError::Inconsistent { src: shown(src), problems });
        }
        let version = version(&listing, compiled, package)?;
        Ok(Self {
            version,
            name: module_name(version),
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

/// The number of the next: the text knows it, and where nothing is listed behind a base, the compiled registry.
fn version(listing: &Listing, compiled: Option<i32>, package: &Path) -> Result<i32, ProjectError> {
    let path = || shown(&package.join("src/lib.rs"));
    let name = || package_name(package);
    let Some((first, last)) = listing.numbers() else {
        let unnumbered = || ProjectError::Unnumbered { path: path(), package: name() };
        return if listing.base.is_none() { Ok(0) } else { compiled.ok_or_else(unnumbered) };
    };
    let next = last.saturating_add(1);
    // A program that is older than the text has fewer of its migrations, down to the base alone. All else says that the list
    // does not begin where the base ends, and another migration would make that worse.
    match compiled.filter(|compiled| listing.base.is_some() && !(first..=next).contains(compiled)) {
        None => Ok(next),
        Some(compiled) => Err(ProjectError::Disagreement {
            path: path(),
            package: name(),
            listed: module_name(next),
            compiled: module_name(compiled),
        }),
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
    let name = place::manifest(package)
        .and_then(|manifest| Some(manifest.get("package")?.get("name")?.as_str()?.to_owned()));
    name.unwrap_or_else(|| package.file_name().unwrap_or_default().to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A package with this `lib.rs` and files of these migrations.
    fn package(lib: &str, migrations: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("src")).unwrap();
        fs::write(dir.path().join("Cargo.toml"), "[package]\nname = \"my-schema\"\n").unwrap();
        fs::write(dir.path().join("src/lib.rs"), lib).unwrap();
        for name in migrations {
            fs::write(dir.path().join(format!("src/{name}.rs")), "").unwrap();
        }
        dir
    }

    /// The next of a package with migrations up to m0001.
    fn third(lib: &str) -> Successor {
        Successor::new(package(lib, &["m0000", "m0001"]).path(), lib, None).unwrap()
    }

    #[test]
    fn the_next_migration_has_the_next_number_and_the_registry_of_this_crate() {
        let next = third("mod m0000;\nmod m0001;\npub fn all() -> Registry { registry![m0000, m0001] }\n");

        assert_eq!((next.version, next.name.as_str()), (2, "m0002"));
        let file = next.file("add due date");
        assert!(file.contains("use crate::all;") && file.contains("database_before(all(), 2)"), "{file}");
        assert!(file.contains("\"m0002 is not written yet\"") && file.contains("\"add due date\""), "{file}");
    }

    #[test]
    fn behind_a_base_the_list_is_numbered_on() {
        let lib = "mod m0012;\nmod m0013;\npub fn all() -> Registry { registry![..BASE, m0012, m0013] }\n";
        let package = package(lib, &["m0012", "m0013"]);
        // Not known, and of programs that are as old as the base, or older than the text, or as new.
        for compiled in [None, Some(12), Some(13), Some(14)] {
            let next = Successor::new(package.path(), lib, compiled).unwrap();

            assert_eq!(next.name, "m0014");
            assert!(next.lib.contains("registry![..BASE, m0012, m0013, m0014]"), "{}", next.lib);
            let file = next.file("add due date");
            assert!(file.contains("database_before(all(), 14)") && file.contains("db.apply(14)"), "{file}");
        }
    }

    #[test]
    fn a_list_that_does_not_begin_where_its_base_ends_gets_no_more() {
        let lib = "mod m0011;\nregistry![..BASE, m0011]";
        let package = package(lib, &["m0011"]);
        for (compiled, name) in [(13, "m0013"), (10, "m0010")] {
            let error = Successor::new(package.path(), lib, Some(compiled)).err().unwrap();

            let message = error.to_string();
            assert!(message.contains("m0012 by the list") && message.contains(name), "{message}");
            assert!(message.ends_with("nothing was changed"), "{message}");
            assert!(
                error.next_step().ends_with("cargo run -p my-schema -- new \"…\""),
                "{}",
                error.next_step()
            );
        }
    }

    #[test]
    fn without_a_base_the_text_alone_has_the_number() {
        let lib = "mod m0000;\nregistry![m0000]";
        let next = Successor::new(package(lib, &["m0000"]).path(), lib, Some(7)).unwrap();
        assert_eq!(next.name, "m0001");

        let next = Successor::new(package("registry![]", &[]).path(), "registry![]", Some(7)).unwrap();
        assert_eq!(next.name, "m0000");
    }

    #[test]
    fn the_first_behind_a_base_has_the_number_that_the_compiled_registry_knows() {
        let lib = "mod old;\n\npub fn registry() -> Registry {\n    registry![..old::base()]\n}\n";
        let package = package(lib, &[]);

        let next = Successor::new(package.path(), lib, Some(12)).unwrap();

        let after = "mod old;\nmod m0012;\n\npub fn registry() -> Registry {\n    registry![..old::base(), m0012]\n}\n";
        assert_eq!((next.name.as_str(), next.lib.as_str()), ("m0012", after));
    }

    #[test]
    fn where_nobody_knows_the_number_it_is_said_who_does() {
        let lib = "registry![..BASE]";

        let error = Successor::new(package(lib, &[]).path(), lib, None).err().unwrap();

        assert!(matches!(error, ProjectError::Unnumbered { .. }), "{error}");
        assert!(error.to_string().ends_with("nothing was changed"), "{error}");
        assert!(error.next_step().ends_with("cargo run -p my-schema -- new \"…\""), "{}", error.next_step());
    }

    #[test]
    fn a_byte_order_mark_stays_where_it_is() {
        let next = third("\u{feff}mod m0000;\nmod m0001;\nregistry![m0000, m0001]");

        assert_eq!(next.lib, "\u{feff}mod m0000;\nmod m0001;\nmod m0002;\nregistry![m0000, m0001, m0002]");
    }

    #[test]
    fn a_description_is_one_line_and_any_text_at_all() {
        for wrong in ["", "  ", "two\nlines", "two\r\nlines", "a\0b"] {
            assert!(description(wrong).is_err(), "{wrong:?}");
        }
        let next = third("mod m0000;\nmod m0001;\nregistry![m0000, m0001]");
        let file = next.file(&description(" \"quotes\", C:\\ and {{name}} für alle ").unwrap());
        assert!(file.contains(r#"        "\"quotes\", C:\\ and {{name}} für alle""#), "{file}");
    }
}
