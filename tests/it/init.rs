//! From nothing: `onerow init` and `onerow new` in cargo projects of several kinds.

use onerow_testing::{TestDatabase, on_every_backend};
use serde_json::Value;

use crate::harness::{MigrationCli, Project};

const PACKAGE: &str =
    "# An app.\n[package]\nname = \"app\"   # for now\nversion = \"0.1.0\"\nedition = \"2024\"\n";
const WORKSPACE: &str = "# Apps.\n[workspace]\nresolver = \"3\"\nmembers = [\n    \"app\", # the first\n    # more to come\n]\n";

/// What `cargo init` writes.
fn package(name: &str) -> Project {
    let project = Project::with_manifest(name, PACKAGE);
    project.write("src/main.rs", "fn main() {}\n");
    project
}

/// A workspace without a package of its own, and a member.
fn workspace(name: &str) -> Project {
    let project = Project::with_manifest(name, WORKSPACE);
    project.write("app/Cargo.toml", PACKAGE);
    project.write("app/src/main.rs", "fn main() {}\n");
    project
}

/// Runs `onerow`, which must refuse with this exit code and leave every file as it is. Returns the
/// complaint.
#[track_caller]
fn refused(project: &Project, code: i32, arguments: &[&str]) -> String {
    let before = project.files();
    let complaint = project.onerow(".", arguments, &[]).failed(code);
    assert!(project.files() == before, "{arguments:?} changed something: {complaint}");
    assert!(complaint.starts_with("error: "), "{complaint}");
    complaint
}

/// The migration, written as its comments suggest.
fn written(skeleton: &str) -> String {
    let mut lines = Vec::new();
    for line in skeleton.lines() {
        match line.strip_prefix("        // ") {
            Some(example) if !example.ends_with(':') => lines.push(format!("        {example}")),
            _ if line.contains("not written yet") => (),
            _ => lines.push(line.replace("_db", "db")),
        }
    }
    lines.join("\n") + "\n"
}

on_every_backend! {
    async fn what_init_wrote_migrates_a_database(db: TestDatabase) {
        let project = package("init-up");
        project.onerow("src", &["init"], &[]).done();

        let output = project.cargo(&["run", "-p", "migration", "--", "up"], &[("DATABASE_URL", db.url())]);

        assert!(output.contains("from version -1 to version 0"), "{output}");
        db.sql("INSERT INTO todos (task) VALUES ('call the bank')").await;
    }
}

#[test]
fn in_a_package_the_way_leads_from_nothing_to_a_second_migration() {
    let project = package("init-package");
    let manifest = project.read("Cargo.toml");

    from_nothing_to_a_second_migration(&project);

    assert_eq!(
        project.read("Cargo.toml"),
        format!("{manifest}\n[workspace]\nmembers = [\"migration\"]\n")
    );
}

#[test]
fn in_a_workspace_the_way_leads_from_nothing_to_a_second_migration() {
    let project = workspace("init-workspace");
    let manifest = project.read("Cargo.toml");

    from_nothing_to_a_second_migration(&project);

    let expected = manifest.replace("# the first\n", "# the first\n    \"migration\",\n");
    assert_eq!(project.read("Cargo.toml"), expected);
    let output = project.cargo(&["run", "-p", "migration", "--", "up"], &[]);
    assert!(output.contains("from version -1 to version 1"), "{output}");
}

#[track_caller]
fn from_nothing_to_a_second_migration(project: &Project) {
    let screen = project.onerow(".", &["init"], &[]).done();
    assert!(
        screen.contains("wrote migration/src/m0000.rs\n")
            && screen.contains("cargo test -p migration"),
        "{screen}"
    );
    assert!(screen.lines().all(|line| line.chars().count() <= 80), "{screen}");
    // So that a rustfmt.toml above, such as this repository's, does not count.
    project.write("rustfmt.toml", "");
    project.cargo(&["fmt", "--all", "--check"], &[]);
    assert_green(project, 2);

    let screen = project.onerow(".", &["new", "add due date"], &[]).done();
    assert!(
        screen.contains("wrote migration/src/m0001.rs\nchanged migration/src/lib.rs\n"),
        "{screen}"
    );
    assert!(screen.lines().all(|line| line.chars().count() <= 80), "{screen}");
    project.cargo(&["fmt", "--all", "--check"], &[]);
    let red = project.cargo_fails(&["test", "-p", "migration"]);
    assert!(red.contains("m0001 is not written yet") && !red.contains("warning"), "{red}");

    let skeleton = project.read("migration/src/m0001.rs");
    assert!(skeleton.contains("\"add due date\""), "{skeleton}");
    project.write("migration/src/m0001.rs", &written(&skeleton));
    assert_green(project, 4);
}

#[track_caller]
fn assert_green(project: &Project, tests: usize) {
    let output = project.cargo(&["test", "-p", "migration"], &[]);
    assert!(output.contains(&format!("test result: ok. {tests} passed")), "{output}");
    assert!(!output.contains("warning"), "{output}");
}

#[test]
fn init_a_second_time_is_refused() {
    let project = package("init-twice");
    project.onerow(".", &["init"], &[]).done();

    let complaint = refused(&project, 1, &["init"]);

    assert!(
        complaint.starts_with("error: migration exists already; nothing was changed\n"),
        "{complaint}"
    );
    assert!(complaint.contains("onerow new"), "{complaint}");
}

#[test]
fn init_beside_another_migrator_says_how_to_move() {
    let project = workspace("init-sea-orm");
    project.write(
        "migration/Cargo.toml",
        "[package]\nname = \"migration\"\n\n[dependencies.sea-orm-migration]\nversion = \"1\"\n",
    );
    project.write(
        "migration/src/lib.rs",
        "pub struct Migrator;\n\nimpl MigratorTrait for Migrator {}\n",
    );

    let complaint = refused(&project, 1, &["init"]);

    assert!(complaint.contains("migration is a crate of sea-orm-migration already"), "{complaint}");
    assert!(complaint.contains("docs/moving.md"), "{complaint}");
}

#[test]
fn init_asks_for_no_more_than_what_is_missing() {
    let project = workspace("init-elsewhere");
    project.write("Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"app\", \"db/*\"]\n");
    let manifest = project.read("Cargo.toml");
    let variables = [
        ("ONEROW_DIR", "../db/my-schema"),
        ("ONEROW_DATABASES", "sqlite"),
        ("ONEROW_FORMAT", "json"),
    ];

    let report = project.onerow("app", &["init"], &variables).done();

    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["package"], "my-schema");
    assert_eq!(
        (report["written"].as_array().unwrap().len(), report["changed"].to_string().as_str()),
        (4, "[]")
    );
    assert_eq!(report["next"][0]["command"], "cargo run -p my-schema -- up");
    assert_eq!(project.read("Cargo.toml"), manifest);
    assert!(project.read("db/my-schema/Cargo.toml").contains("features = [\"sqlite\"]"));
    assert!(project.read("db/my-schema/src/main.rs").contains("my_schema::registry()"));
}

#[test]
fn init_refuses_what_cargo_would_not_build() {
    let excluding = workspace("init-refused");
    excluding.write(
        "Cargo.toml",
        "[workspace]\nmembers = [\"app\"]\nexclude = [\"migration\", \"tools\"]\n",
    );
    let complaint = refused(&excluding, 1, &["init"]);
    assert!(
        complaint.contains("Cargo.toml excludes migration")
            && complaint.contains("onerow init --dir"),
        "{complaint}"
    );

    let complaint = refused(&excluding, 1, &["init", "--dir", "../elsewhere"]);
    assert!(complaint.contains("is not inside the workspace"), "{complaint}");
    let complaint = refused(&excluding, 1, &["init", "--dir", "2nd"]);
    assert!(complaint.contains("cannot be the name of a package"), "{complaint}");
    // Only cargo knows this, after all is written.
    let complaint = refused(&excluding, 1, &["init", "--dir", "libs/deep/app"]);
    assert!(complaint.contains("two packages named `app`"), "{complaint}");

    excluding.write("Cargo.toml", "[workspace\n");
    let complaint = refused(&excluding, 1, &["init"]);
    assert!(
        complaint.contains("caused by: ") && complaint.contains("nothing was changed"),
        "{complaint}"
    );
}

#[test]
fn a_command_that_is_called_wrongly_is_told_how() {
    let project = package("init-wrongly");
    for wrong in [
        &["init", "--databases", "mysql"][..],
        &["new"],
        &["new", ""],
        &["new", "two\nlines"],
        &["ini"],
        &[],
    ] {
        let before = project.files();
        let outcome = project.onerow(".", wrong, &[]);
        assert_eq!(
            (outcome.code, project.files() == before),
            (Some(2), true),
            "{wrong:?}: {outcome:?}"
        );
    }
    assert!(project.onerow(".", &["ini"], &[]).failed(2).contains("'init'"));
    let complaint = refused(&project, 1, &["new", "add due date"]);
    assert!(
        complaint.contains("no crate of migrations") && complaint.contains("onerow init"),
        "{complaint}"
    );
}

#[test]
fn new_numbers_on_from_wherever_it_is_called() {
    let project = workspace("init-new");
    project.onerow(".", &["init"], &[]).done();
    let migration = format!("{}/migration", project.path().display());
    for (dir, arguments, variables) in [
        ("app/src", &["new", "the first"][..], &[][..]),
        ("migration/src", &["new", "the second"], &[]),
        ("app", &["new", "the third", "--dir", "../migration"], &[]),
        (
            "app",
            &["--format", "json", "new", "the fourth"],
            &[("CARGO_MANIFEST_DIR", migration.as_str())],
        ),
    ] {
        project.onerow(dir, arguments, variables).done();
    }

    let lib = project.read("migration/src/lib.rs");
    assert!(lib.contains("mod m0000;\nmod m0001;\nmod m0002;\nmod m0003;\nmod m0004;\n"), "{lib}");
    assert!(lib.contains("registry![m0000, m0001, m0002, m0003, m0004]"), "{lib}");
    assert!(project.read("migration/src/m0004.rs").contains("\"the fourth\""));
}

#[test]
fn new_refuses_what_it_cannot_add_to() {
    let project = workspace("init-new-refused");
    project.onerow(".", &["init"], &[]).done();
    let lib = project.read("migration/src/lib.rs");

    project.write("migration/src/m0001.rs", "");
    let complaint = refused(&project, 1, &["new", "add due date"]);
    let says = "migration/src/m0001.rs exists already, but migration/src/lib.rs does not list it";
    assert!(complaint.contains(says), "{complaint}");
    assert!(complaint.contains("`mod m0001;` and, in the list, `, m0001`"), "{complaint}");

    for (wrong, says) in [
        (
            lib.replace("registry![m0000]", "other![m0000]"),
            "there is no `registry![…]` in migration/src/lib.rs",
        ),
        (
            lib.replace("registry![m0000]", "registry![m0000"),
            "migration/src/lib.rs:14 does not parse",
        ),
    ] {
        project.write("migration/src/lib.rs", &wrong);
        let complaint = refused(&project, 1, &["new", "add due date", "--dir", "migration"]);
        assert!(complaint.contains(says), "{complaint}");
    }
}

#[test]
fn the_compiler_refuses_what_does_not_fit_together() {
    let project = package("init-inconsistent");
    project.onerow(".", &["init"], &[]).done();
    let lib = project.read("migration/src/lib.rs");
    for (wrong, next, says) in [
        (
            lib.replace("mod m0000;", "mod m0000;\nmod m0001;"),
            "m0001",
            "the name `m0001` is defined multiple times",
        ),
        (lib.replace("[m0000]", "[m0000, m0001]"), "m0002", "module or crate `m0001`"),
        (lib.replace("[m0000]", "[m0000, m0002]"), "m0003", "a migration is missing"),
    ] {
        project.write("migration/src/lib.rs", &wrong);
        let screen = project.onerow(".", &["new", "add due date"], &[]).done();
        assert!(screen.contains(&format!("wrote migration/src/{next}.rs\n")), "{screen}");

        let complaint = project.cargo_fails(&["test", "-p", "migration", "--no-run"]);

        assert!(complaint.contains(says), "{complaint}");
    }
}

#[test]
fn the_first_number_after_a_base_is_known_to_the_program_that_has_it() {
    let project = workspace("init-base");
    project.write("migration/Cargo.toml", "[package]\nname = \"schema\"\n");
    project.write(
        "migration/src/lib.rs",
        "mod old;\n\npub fn registry() -> Registry {\n    registry![..old::base()]\n}\n",
    );

    let complaint = refused(&project, 1, &["new", "add due date"]);
    assert!(complaint.contains("cargo run -p schema -- new"), "{complaint}");

    // The migrations of this repository: a program with any registry will do.
    let dir = format!("{}/migration", project.path().display());
    MigrationCli::new().run(&["new", "add due date", "--dir", &dir]).done();
    let next = migration::registry().latest() + 1;
    let lib = project.read("migration/src/lib.rs");
    assert!(lib.contains(&format!("registry![..old::base(), m{next:04}]")), "{lib}");

    project.onerow(".", &["new", "add labels"], &[]).done();
    let lib = project.read("migration/src/lib.rs");
    assert!(
        lib.contains(&format!("registry![..old::base(), m{next:04}, m{:04}]", next + 1)),
        "{lib}"
    );
}
