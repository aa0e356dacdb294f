//! `onerow init`: writes a crate of migrations into a project that has none.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};

use super::{
    error::ProjectError,
    files::{Changes, all_or_nothing},
    manifest::Manifest,
    place,
    shown::shown,
    summary::{Next, Summary},
    template::{self, fill},
};

#[derive(Args)]
pub(super) struct InitArgs {
    /// Its directory, whose name is the package's [default: migration, in the workspace's root]
    #[arg(long, value_name = "DIR", env = "ONEROW_DIR")]
    dir: Option<PathBuf>,

    /// The databases that the migrations are for
    #[arg(
        long,
        value_name = "DATABASES",
        env = "ONEROW_DATABASES",
        value_enum,
        value_delimiter = ',',
        default_value = "postgres,sqlite"
    )]
    databases: Vec<Backend>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Backend {
    Postgres,
    Sqlite,
}

/// Writes the crate and adds it to the workspace.
pub(super) fn init(args: &InitArgs) -> Result<Summary, ProjectError> {
    let plan = Plan::new(args)?;
    all_or_nothing(|changes| plan.carry_out(changes))?;
    Ok(plan.summary(args))
}

/// What to write. All of it is known before a file is touched.
struct Plan {
    package: String,
    dir: PathBuf,
    files: Vec<(&'static str, String)>,
    manifest: PathBuf,
    before: String,
    /// The manifest with the new member, unless a pattern covers it already.
    after: Option<String>,
}

impl Plan {
    fn new(args: &InitArgs) -> Result<Self, ProjectError> {
        let current = place::current_dir()?;
        let root = place::workspace_root(&current)?;
        let dir = args
            .dir
            .as_ref()
            .map_or_else(|| root.join("migration"), |dir| place::resolve(&current, dir));
        if dir.symlink_metadata().is_ok() {
            return Err(exists(&dir));
        }
        let member = member(&root, &dir)?;
        let package = package_name(&dir)?;
        let manifest = root.join("Cargo.toml");
        let before = fs::read_to_string(&manifest).map_err(ProjectError::io("read", &manifest))?;
        let after = Manifest { path: &manifest, text: &before }.with_member(&member)?;
        let files = files(&package, &args.databases);
        Ok(Self { package, dir, files, manifest, before, after })
    }

    fn carry_out(&self, changes: &mut Changes) -> Result<(), ProjectError> {
        changes.add_dir(&self.dir, &self.files)?;
        if let Some(after) = &self.after {
            changes.replace(&self.manifest, &self.before, after)?;
        }
        // Cargo knows what else may be wrong, such as a second package of that name.
        let metadata = ["metadata", "--no-deps", "--offline", "--format-version", "1"];
        place::cargo(&self.dir, &metadata, format!("the workspace with {}", shown(&self.dir)))
            .map(drop)
    }

    fn summary(&self, args: &InitArgs) -> Summary {
        let package = &self.package;
        let dir =
            args.dir.as_ref().map(|dir| format!(" --dir {}", dir.display())).unwrap_or_default();
        let sqlite = args.databases.contains(&Backend::Sqlite);
        let postgres = args.databases.contains(&Backend::Postgres);
        let database = if sqlite { "DATABASE_URL or ./database.sqlite" } else { "DATABASE_URL" };
        let backends = match (postgres, sqlite) {
            (true, true) => "PostgreSQL and SQLite",
            (true, false) => "PostgreSQL",
            _ => "SQLite",
        };
        Summary {
            package: package.clone(),
            migration: None,
            written: self.files.iter().map(|(name, _)| shown(&self.dir.join(name))).collect(),
            changed: self.after.iter().map(|_| shown(&self.manifest)).collect(),
            note: None,
            next: vec![
                Next::new(format!("cargo run -p {package} -- up"), format!("on {database}")),
                Next::new(format!("cargo test -p {package}"), format!("on {backends}")),
                Next::new(format!("onerow new \"add due date\"{dir}"), "the next migration"),
            ],
        }
    }
}

/// Why a directory that exists is refused, by what is in it.
fn exists(dir: &Path) -> ProjectError {
    let manifest = place::manifest(dir);
    let dependency = manifest
        .as_ref()
        .and_then(|manifest| manifest.get("dependencies")?.get("sea-orm-migration"));
    match dependency {
        // A crate that has moved to onerow may still depend on sea-orm-migration.
        Some(_) if !place::has_registry(dir) => ProjectError::OtherMigrator { dir: shown(dir) },
        _ => ProjectError::Exists { dir: shown(dir) },
    }
}

/// The directory as a member of the workspace.
fn member(root: &Path, dir: &Path) -> Result<String, ProjectError> {
    let outside = || ProjectError::Outside { dir: shown(dir), root: shown(root) };
    let below = dir.strip_prefix(root).map_err(|_| outside())?;
    let parts: Option<Vec<_>> = below.iter().map(|part| part.to_str()).collect();
    parts.map(|parts| parts.join("/")).ok_or_else(outside)
}

/// The crates that a crate of migrations depends on. Their names are not free for it.
const DEPENDENCIES: [&str; 3] = ["onerow", "onerow-cli", "onerow-testing"];

/// Names that `name::registry()` cannot begin with: keywords
/// (<https://doc.rust-lang.org/reference/keywords.html>), and the crates that are always there.
const TAKEN: &str = "
    abstract alloc as async await become box break const continue core crate do dyn else enum
    extern false final fn for gen if impl in let loop macro match mod move mut override priv
    proc_macro pub ref return self static std struct super trait true try type typeof unsafe
    unsized use virtual where while yield
";

fn package_name(dir: &Path) -> Result<String, ProjectError> {
    let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let begins = name.starts_with(|first: char| first.is_ascii_alphabetic());
    let is_plain =
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let is_taken = TAKEN.split_whitespace().any(|taken| taken == name);
    if begins && is_plain && !is_taken && !DEPENDENCIES.contains(&&*name) {
        Ok(name)
    } else {
        Err(ProjectError::PackageName { dir: shown(dir), name })
    }
}

fn files(package: &str, databases: &[Backend]) -> Vec<(&'static str, String)> {
    let (features, drivers) = features(databases);
    let name = package.replace('-', "_");
    let run = run(&name, databases.contains(&Backend::Sqlite));
    let sources =
        DEPENDENCIES.map(|name| (name, source(Path::new(env!("CARGO_MANIFEST_DIR")), name)));
    let mut values = vec![("package", package), ("run", &run), ("features", &features)];
    values.push(("drivers", &drivers));
    values.extend(sources.iter().map(|(name, source)| (*name, source.as_str())));
    let templates = [
        ("Cargo.toml", template::MANIFEST),
        ("src/main.rs", template::MAIN),
        ("src/lib.rs", template::LIB),
        ("src/m0000.rs", template::FIRST),
    ];
    templates.map(|(name, template)| (name, fill(template, &values))).into()
}

/// The body of `main`, which names the default database. The lines are as rustfmt writes them.
fn run(name: &str, sqlite: bool) -> String {
    if !sqlite {
        return format!("onerow_cli::run({name}::registry())");
    }
    format!(
        "// Unless DATABASE_URL or --database-url names another.
    let default = \"sqlite://database.sqlite?mode=rwc\";
    onerow_cli::run_with_default_database({name}::registry(), default)"
    )
}

/// The features of the engine, and those of the test kit.
fn features(databases: &[Backend]) -> (String, String) {
    let known = [(Backend::Postgres, "\"postgres\""), (Backend::Sqlite, "\"sqlite\"")];
    let named = known.into_iter().filter(|(database, _)| databases.contains(database));
    let drivers = named.map(|(_, feature)| feature).collect::<Vec<_>>().join(", ");
    // SQLite is a file, so it needs no TLS.
    let tls = if databases.contains(&Backend::Postgres) { ", \"rustls\"" } else { "" };
    (format!("{drivers}{tls}"), drivers)
}

/// Where the new crate gets one of onerow's crates from. A program that was built from a checkout
/// points there, since its version may not be published.
fn source(built_in: &Path, name: &str) -> String {
    let dir = built_in.with_file_name(name);
    let parts: Vec<_> = dir.iter().collect();
    let in_registry = parts.windows(2).any(|pair| pair == ["registry", "src"]);
    match dir.to_str() {
        Some(path) if dir.is_dir() && !in_registry => {
            format!("path = {}", toml_edit::Value::from(path))
        }
        _ => concat!(
            "version = \"",
            env!("CARGO_PKG_VERSION_MAJOR"),
            ".",
            env!("CARGO_PKG_VERSION_MINOR"),
            "\""
        )
        .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_from_a_checkout_points_there_and_one_from_a_registry_names_its_version() {
        let home = tempfile::tempdir().unwrap();
        let registry = home.path().join("registry/src/index.crates.io-1949cf8c6b5b557f");
        let checkout = home.path().join("src/crates");
        for dir in [&registry, &checkout] {
            fs::create_dir_all(dir.join("onerow")).unwrap();
        }
        let source = |dir: &Path| source(&dir.join("onerow-cli"), "onerow");
        let version = "version = \"0.1\"";

        assert_eq!(source(&checkout), format!("path = \"{}/onerow\"", checkout.display()));
        assert_eq!(source(&registry), version);
        assert_eq!(source(&home.path().join("gone")), version);
    }

    #[test]
    fn a_crate_has_the_drivers_that_were_asked_for() {
        let quoted =
            |names: &[&str]| names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>();
        let of =
            |engine: &[&str], kit: &[&str]| (quoted(engine).join(", "), quoted(kit).join(", "));
        let both = of(&["postgres", "sqlite", "rustls"], &["postgres", "sqlite"]);
        assert_eq!(features(&[Backend::Postgres, Backend::Sqlite]), both);
        assert_eq!(features(&[Backend::Postgres]), of(&["postgres", "rustls"], &["postgres"]));
        assert_eq!(features(&[Backend::Sqlite]), of(&["sqlite"], &["sqlite"]));
    }

    #[test]
    fn a_directory_names_a_package() {
        assert_eq!(package_name(Path::new("a/my-schema_2")).unwrap(), "my-schema_2");
        for wrong in
            ["2nd", "my schema", "my.schema", "größe", "_", "onerow", "onerow-cli", "fn", "std"]
        {
            assert!(
                matches!(package_name(Path::new(wrong)), Err(ProjectError::PackageName { .. })),
                "{wrong}"
            );
        }
    }

    #[test]
    fn only_a_crate_with_sqlite_has_a_default_database() {
        let main = |databases: &[Backend]| files("shop", databases).swap_remove(1).1;
        assert!(main(&[Backend::Postgres]).contains("    onerow_cli::run(shop::registry())\n"));
        for databases in [&[Backend::Sqlite][..], &[Backend::Postgres, Backend::Sqlite]] {
            let main = main(databases);
            assert!(
                main.contains("    let default = \"sqlite://database.sqlite?mode=rwc\";\n"),
                "{main}"
            );
            assert!(
                main.contains("run_with_default_database(shop::registry(), default)\n"),
                "{main}"
            );
        }
    }

    /// What `init` says of a directory with this in its files.
    fn refusal(manifest: &str, lib: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("src")).unwrap();
        fs::write(dir.path().join("Cargo.toml"), manifest).unwrap();
        fs::write(dir.path().join("src/lib.rs"), lib).unwrap();
        let refusal = exists(dir.path());
        let text = format!("{refusal}\n{}", refusal.next_step());
        text.replace(&shown(dir.path()), "migration")
    }

    #[test]
    fn a_crate_of_sea_orm_migration_is_told_how_to_move() {
        let migrator = "pub struct Migrator;\n\nimpl MigratorTrait for Migrator {}\n";
        for manifest in [
            "[package]\nname = \"migration\"\n\n[dependencies.sea-orm-migration]\nversion = \"1\"\n",
            "[dependencies]\nsea-orm-migration = { workspace = true }\n",
        ] {
            let refusal = refusal(manifest, migrator);
            assert!(
                refusal.starts_with(
                    "migration is a crate of sea-orm-migration already; nothing was changed\n"
                ),
                "{refusal}"
            );
            assert!(refusal.contains("docs/moving.md"), "{refusal}");
        }
    }

    #[test]
    fn what_else_is_there_is_only_said_to_be_there() {
        let moved = "[dependencies]\nonerow = \"0.1\"\nsea-orm-migration = \"1\"\n";
        let registry = "onerow::registry![..Registry::from_migrator::<old::Migrator>()]";
        for (manifest, lib) in [
            (moved, registry),
            ("[package]\n", ""),
            ("[dependencies\n", ""),
            ("dependencies = 1\n", ""),
        ] {
            let refusal = refusal(manifest, lib);
            assert!(
                refusal.starts_with("migration exists already; nothing was changed\n"),
                "{refusal}"
            );
        }
    }

    #[test]
    fn templates_are_filled_to_the_last_place() {
        for (name, text) in files("my-schema", &[Backend::Postgres, Backend::Sqlite]) {
            assert!(!text.contains("{{") && !text.contains("}}"), "{name}");
        }
    }
}
