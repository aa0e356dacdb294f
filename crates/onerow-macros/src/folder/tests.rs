use std::{
    ffi::OsStr,
    os::unix::{ffi::OsStrExt, fs::symlink},
};

use tempfile::TempDir;

use super::*;
use crate::naming::{FRACTION, RUST, TOO_LARGE, UNKNOWN};

fn folder<const N: usize>(files: [(&str, &str); N]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn read_all(folder: &TempDir) -> Result<Vec<Migration>, Vec<String>> {
    read(folder.path(), "migrations", &[])
}

fn read_without(folder: &TempDir, except: &[&str]) -> Result<Vec<String>, Vec<String>> {
    let except: Vec<_> = except.iter().map(ToString::to_string).collect();
    let migrations = read(folder.path(), "migrations", &except)?;
    Ok(migrations.into_iter().map(|migration| migration.name).collect())
}

fn names<const N: usize>(files: [&str; N]) -> Vec<String> {
    let migrations = read_all(&folder(files.map(|file| (file, "")))).unwrap();
    migrations.into_iter().map(|migration| migration.name).collect()
}

fn problems<const N: usize>(files: [(&str, &str); N]) -> Vec<String> {
    read_all(&folder(files)).unwrap_err()
}

/// The problems of a folder of empty files.
fn problems_of<const N: usize>(files: [&str; N]) -> Vec<String> {
    problems(files.map(|file| (file, "")))
}

fn transactional(path: &str, text: &str) -> bool {
    read_all(&folder([(path, text)])).unwrap()[0].transactional
}

/// Whether a migration of diesel with this `metadata.toml` runs in a transaction.
fn diesel_transactional(metadata: &str) -> bool {
    read_all(&folder([("1_a/up.sql", ""), ("1_a/metadata.toml", metadata)])).unwrap()[0]
        .transactional
}

#[test]
fn a_migration_has_the_full_path_of_its_file() {
    let folder = folder([("1_create_users.sql", "SELECT 1")]);
    let expected = Migration {
        name: "1_create_users".into(),
        description: "create users".into(),
        path: folder.path().join("1_create_users.sql").to_str().unwrap().into(),
        shown: "migrations/1_create_users.sql".into(),
        transactional: true,
        metadata: None,
    };
    assert_eq!(read_all(&folder), Ok(vec![expected]));
}

#[test]
fn migrations_of_sqlx_are_in_the_order_of_their_numbers_and_its_down_scripts_are_left_out() {
    let files = ["10_c.sql", "9_b.up.sql", "9_b.down.sql", "08_a.sql", "-1_first.sql"];
    assert_eq!(names(files), ["-1_first", "08_a", "9_b", "10_c"]);
}

#[test]
fn a_down_script_of_sqlx_may_have_another_description_and_need_not_be_readable() {
    let folder = folder([("1_a.up.sql", "")]);
    fs::write(folder.path().join("1_undo_a.down.sql"), [0xff]).unwrap();
    assert_eq!(read_all(&folder).unwrap().len(), 1);
}

#[test]
fn migrations_of_refinery_are_in_the_order_of_their_numbers_whatever_their_letter_and_subfolder() {
    let files = ["V10__c.sql", "2022/U9__b.sql", "2022/late/V8__a.sql", "mod.rs"];
    assert_eq!(names(files), ["V8__a", "U9__b", "V10__c"]);
}

#[test]
fn migrations_of_diesel_are_in_the_order_of_their_texts_and_its_down_scripts_are_left_out() {
    let files = [
        "00000000000000_diesel_initial_setup/up.sql",
        "00000000000000_diesel_initial_setup/down.sql",
        "2022-01-02-000000_b/up.sql",
        "20220101999999_a/up.sql",
        "9_d/up.sql",
        "30_c/up.sql",
    ];
    let expected = [
        "00000000000000_diesel_initial_setup",
        "20220101999999_a",
        "2022-01-02-000000_b",
        "30_c",
        "9_d",
    ];
    assert_eq!(names(files), expected);
}

#[test]
fn what_is_no_sql_and_what_is_hidden_is_passed_over() {
    assert_eq!(
        names(["1_a.sql", "README.md", ".keep", ".hidden.sql", ".git/x.sql", "docs/notes.txt"]),
        ["1_a"]
    );
    assert_eq!(names(["1_a/up.sql", "1_a/.up.sql.swp", ".hidden/down.sql", "README.md"]), ["1_a"]);
}

#[test]
fn links_to_files_are_followed() {
    let folder = folder([(".hidden/a.txt", "-- no-transaction")]);
    symlink(".hidden/a.txt", folder.path().join("1_a.sql")).unwrap();
    assert!(!read_all(&folder).unwrap()[0].transactional);
}

#[test]
fn sqlx_runs_a_script_without_a_transaction_when_it_starts_with_the_marker() {
    assert!(!transactional("1_a.sql", "-- no-transaction\nVACUUM"));
    assert!(!transactional("1_a.up.sql", "-- no-transaction, as VACUUM refuses one"));
    for text in [
        "",
        "VACUUM",
        "\n-- no-transaction",
        " -- no-transaction",
        "--no-transaction",
        "-- No-transaction",
    ] {
        assert!(transactional("1_a.sql", text), "{text:?}");
    }
}

#[test]
fn a_byte_order_mark_hides_no_marker() {
    assert!(!transactional("1_a.sql", "\u{feff}-- no-transaction\nVACUUM"));
    assert!(diesel_transactional("\u{feff}run_in_transaction = true"));
}

#[test]
fn the_marker_of_sqlx_means_nothing_to_the_others() {
    assert!(transactional("V1__a.sql", "-- no-transaction"));
    assert!(transactional("1_a/up.sql", "-- no-transaction"));
}

#[test]
fn diesel_runs_a_script_without_a_transaction_where_its_metadata_says_so_or_lacks_the_key() {
    assert!(!diesel_transactional("run_in_transaction = false"));
    assert!(!diesel_transactional("# nothing\n"));
    assert!(diesel_transactional("run_in_transaction = true"));
}

#[test]
fn the_metadata_of_diesel_is_named_so_that_it_can_be_tracked() {
    let folder = folder([("1_a/up.sql", ""), ("1_a/metadata.toml", ""), ("2_b/up.sql", "")]);
    let metadata = folder.path().join("1_a/metadata.toml").to_str().unwrap().to_owned();
    let migrations = read_all(&folder).unwrap();
    assert_eq!(migrations[0].metadata, Some(metadata));
    assert_eq!(migrations[1].metadata, None);
}

#[test]
fn metadata_belongs_to_diesel() {
    let folder = folder([("V1__a.sql", ""), ("V1__a/metadata.toml", "nonsense")]);
    assert_eq!(read_all(&folder).unwrap()[0].metadata, None);
}

#[test]
fn a_file_of_blanks_is_a_migration_that_does_nothing() {
    assert_eq!(read_all(&folder([("1_a/up.sql", " \n\t\n")])).unwrap().len(), 1);
}

#[test]
fn a_missing_folder_is_an_error_with_the_full_path() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("migrations");
    let problems = read(&missing, "migrations", &[]).unwrap_err();
    let begin = format!(
        "cannot read the folder `migrations`, which is {}: No such file",
        missing.display()
    );
    assert!(problems[0].starts_with(&begin), "{problems:?}");
    assert!(
        problems[0].ends_with("a path is relative to the folder of the crate's Cargo.toml"),
        "{problems:?}"
    );
    assert_eq!(problems.len(), 1);
}

#[test]
fn a_file_is_no_folder() {
    let folder = folder([("1_a.sql", "")]);
    let problems = read(&folder.path().join("1_a.sql"), "1_a.sql", &[]).unwrap_err();
    assert!(problems[0].contains("Not a directory"), "{problems:?}");
}

#[test]
fn a_folder_without_migrations_is_an_error_with_the_full_path() {
    let folder = folder([("README.md", ""), (".keep", "")]);
    let expected = format!(
        "there is no migration in the folder `migrations`, which is {}: it needs files of sqlx \
         (`1_name.sql`), refinery (`V1__name.sql`) or diesel (`1_name/up.sql`)",
        folder.path().display()
    );
    assert_eq!(read_all(&folder), Err(vec![expected]));
}

#[test]
fn all_files_with_a_wrong_name_are_told_at_once() {
    let problems = problems_of([
        "1_a.sql",
        "schema.sql",
        "V1.2__a.sql",
        "V1__a.rs",
        "99999999999999999999_a.sql",
    ]);
    let expected = [
        format!("`migrations/99999999999999999999_a.sql` {TOO_LARGE}"),
        format!("`migrations/V1.2__a.sql` {FRACTION}"),
        format!("`migrations/V1__a.rs` {RUST}"),
        format!("`migrations/schema.sql` {UNKNOWN}"),
    ];
    assert_eq!(problems, expected);
}

#[test]
fn two_styles_in_a_folder_are_an_error_that_names_a_file_of_each() {
    let tail = "keep the migrations of one tool in a folder of their own, and embed that";
    let expected = format!(
        "`migrations/1_a.sql` is named like a migration of sqlx, and `migrations/V1__a.sql` like \
         one of refinery: {tail}"
    );
    assert_eq!(problems_of(["1_a.sql", "2_b.sql", "V1__a.sql", "V2__b.sql"]), [expected]);
    let expected = format!(
        "`migrations/1_a/up.sql` is named like a migration of diesel, and `migrations/2_b.sql` \
         like one of sqlx: {tail}"
    );
    assert_eq!(problems_of(["1_a/up.sql", "2_b.sql"]), [expected]);
}

#[test]
fn two_migrations_of_the_same_version_are_an_error_that_names_both() {
    let expected = |one: &str, other: &str| {
        format!(
            "`migrations/{one}` has the same version as `migrations/{other}`: keep one of them, or \
             give it another number"
        )
    };
    assert_eq!(problems_of(["1_b.sql", "1_a.sql"]), [expected("1_a.sql", "1_b.sql")]);
    assert_eq!(problems_of(["01_a.sql", "+1_a.sql"]), [expected("+1_a.sql", "01_a.sql")]);
    assert_eq!(problems_of(["1_a.sql", "1_a.up.sql"]), [expected("1_a.sql", "1_a.up.sql")]);
    assert_eq!(
        problems_of(["V1__a.sql", "sub/U01__b.sql"]),
        [expected("V1__a.sql", "sub/U01__b.sql")]
    );
    assert_eq!(
        problems_of(["2022-01_a/up.sql", "202201_b/up.sql"]),
        [expected("2022-01_a/up.sql", "202201_b/up.sql")]
    );
}

#[test]
fn a_subfolder_without_up_script_is_an_error_to_diesel() {
    let expected = |folder: &str| {
        format!("`migrations/{folder}` has no `up.sql`: add it, or move the folder elsewhere")
    };
    assert_eq!(
        problems_of(["1_a/up.sql", "3_c/README.md", "2_b/down.sql"]),
        [expected("2_b"), expected("3_c")]
    );
    assert_eq!(problems_of(["1_a/down.sql"]), [expected("1_a")]);
}

#[test]
fn a_down_script_without_its_up_script_is_an_error_to_sqlx() {
    let expected = |down: &str, up: &str| {
        format!(
            "`migrations/{down}` has no up script: add `migrations/{up}`, or remove the down script"
        )
    };
    assert_eq!(
        problems_of(["1_a.up.sql", "2_b.down.sql"]),
        [expected("2_b.down.sql", "2_b.up.sql")]
    );
    assert_eq!(problems_of(["1_a.sql", "1_a.down.sql"]), [expected("1_a.down.sql", "1_a.up.sql")]);
}

#[test]
fn a_file_that_is_not_utf8_is_an_error() {
    let folder = folder([("2_b.sql", "")]);
    fs::write(folder.path().join("1_a.sql"), [0xff, 0xfe, b'S', 0]).unwrap();
    assert_eq!(
        read_all(&folder),
        Err(vec!["`migrations/1_a.sql` is not UTF-8: save it as UTF-8".into()])
    );
}

#[test]
fn a_file_that_cannot_be_read_is_an_error() {
    let folder = folder([]);
    symlink("nowhere", folder.path().join("1_a.sql")).unwrap();
    let problems = read_all(&folder).unwrap_err();
    assert!(
        problems[0].starts_with("`migrations/1_a.sql` cannot be read: No such file"),
        "{problems:?}"
    );
}

#[test]
fn a_name_that_is_not_utf8_is_an_error() {
    let folder = folder([("1_a.sql", "")]);
    fs::write(folder.path().join(OsStr::from_bytes(b"2_\xff.sql")), "").unwrap();
    let expected = "`migrations/2_\u{fffd}.sql` has a name that is not UTF-8: rename it";
    assert_eq!(read_all(&folder), Err(vec![expected.into()]));
}

#[test]
fn a_link_to_a_folder_is_an_error_so_that_there_are_no_circles() {
    let folder = folder([("V1__a.sql", "")]);
    symlink(".", folder.path().join("sub")).unwrap();
    let expected = "`migrations/sub` is a link to a folder, which is not followed: put the folder \
                    itself there";
    assert_eq!(read_all(&folder), Err(vec![expected.into()]));
}

#[test]
fn metadata_that_says_anything_else_is_an_error_that_names_the_line() {
    let problems = problems([("1_a/up.sql", ""), ("1_a/metadata.toml", "run_in_transaction = no")]);
    let expected = "`migrations/1_a/metadata.toml` may hold comments and, once, \
                    `run_in_transaction = true` or `run_in_transaction = false`, but line 1 is \
                    something else";
    assert_eq!(problems, [expected]);
}

#[test]
fn wrong_names_do_not_keep_wrong_contents_from_being_told() {
    let problems = problems([
        ("1_a/up.sql", ""),
        ("1_a/metadata.toml", "no"),
        ("2_b/down.sql", ""),
        ("x.sql", ""),
    ]);
    assert_eq!(problems.len(), 3, "{problems:?}");
}

#[test]
fn a_file_or_a_subfolder_is_left_out_by_its_name() {
    let files =
        folder([("1_a.sql", ""), ("seed.sql", ""), ("hand/fix.sql", ""), ("hand/1/fix.sql", "")]);
    assert_eq!(read_without(&files, &["seed.sql", "hand"]), Ok(vec!["1_a".into()]));
    let diesel = folder([("1_a/up.sql", ""), ("1_a/seed.sql", ""), ("old/down.sql", "")]);
    assert_eq!(read_without(&diesel, &["1_a/seed.sql", "old"]), Ok(vec!["1_a".into()]));
}

#[test]
fn what_is_left_out_must_be_there() {
    let folder = folder([("1_a.sql", ""), ("seed.sql", "")]);
    let expected =
        |name| format!("`migrations/{name}` is not there to be left out: remove it from `except`");
    let problems = read_without(&folder, &["seed.sql", "sed.sql", "seed", "Seed.sql"]).unwrap_err();
    assert_eq!(problems, ["sed.sql", "seed", "Seed.sql"].map(expected));
    assert!(read_without(&folder, &["seed.sql", "seed.sql"]).is_err());
}

#[test]
fn a_file_that_goes_up_and_down_is_an_error_that_names_the_tool_and_the_line() {
    for (path, text, tool) in [
        (
            "20240101000000_a.sql",
            "-- migrate:up\nCREATE TABLE t (a INT);\n\n-- migrate:down\nDROP TABLE t;",
            "dbmate",
        ),
        (
            "00001_a.sql",
            "-- +goose Up\nCREATE TABLE t (a INT);\n\n-- +goose Down\nDROP TABLE t;",
            "goose",
        ),
        (
            "001_a.sql",
            "CREATE TABLE t (a INT);\n\n\n---- create above / drop below ----\n\nDROP TABLE t;",
            "tern",
        ),
        ("1_a/up.sql", "\n\n\n-- +migrate Down\nDROP TABLE t;", "sql-migrate"),
    ] {
        let marker = text.lines().nth(3).unwrap();
        let expected = format!(
            "`migrations/{path}` goes down again from line 4 on, where `{marker}` begins the part \
             with which {tool} undoes it: move that part out of the file, since onerow runs all of \
             a file, and only goes forward"
        );
        assert_eq!(problems([(path, text)]), [expected]);
    }
}

#[test]
fn a_down_script_may_say_what_it_likes() {
    let folder =
        folder([("1_a.up.sql", "SELECT 1"), ("1_a.down.sql", "-- migrate:down\n\\connect a")]);
    assert_eq!(read_all(&folder).unwrap().len(), 1);
}

#[test]
fn an_undo_of_flyway_is_told_beside_what_it_undoes() {
    let expected = "`migrations/U1__a.sql` has the same version as `migrations/V1__a.sql`: if it \
                    undoes that one, as with Flyway, move it out of the folder; or else give it \
                    another number";
    assert_eq!(problems_of(["U1__a.sql", "V1__a.sql"]), [expected]);
}

#[test]
fn what_is_for_psql_is_an_error_that_names_the_line() {
    let problems = problems([
        ("1_a.sql", "\\restrict x\nSELECT 1;\n\\unrestrict x\n"),
        ("2_b.sql", "SELECT 1;\n\\connect b\n"),
        ("3_c.sql", "CREATE TABLE t (a INT);\n\nCOPY t (a) FROM stdin;\n1\n\\.\n"),
    ]);
    assert_eq!(problems.len(), 2);
    let begin = "`migrations/2_b.sql` cannot be run as it is, because of line 2: `\\connect` is a \
         command of psql";
    assert!(problems[0].starts_with(begin), "{problems:?}");
    let begin = "`migrations/3_c.sql` cannot be run as it is, because of line 3: COPY FROM stdin \
                 is not possible here";
    assert!(problems[1].starts_with(begin), "{problems:?}");
}
