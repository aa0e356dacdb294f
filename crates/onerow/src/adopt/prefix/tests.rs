use async_trait::async_trait;
use sea_orm::DbErr;

use super::*;
use crate::{database::Database, migration::MigrationTrait};

/// A migration that stands for these.
struct Replacing(&'static [&'static str]);

#[async_trait]
impl MigrationTrait for Replacing {
    async fn migrate(&self, _: &Database) -> Result<(), DbErr> {
        Ok(())
    }

    fn replaces(&self) -> Vec<&str> {
        self.0.to_vec()
    }
}

fn registry(migrations: &[&'static [&'static str]]) -> Registry {
    let migrations =
        migrations.iter().map(|names| Box::new(Replacing(names)) as Box<dyn MigrationTrait>);
    Registry::new(migrations.collect())
}

/// What sqlx has applied, in this order.
fn applied(keys: &[&str]) -> History {
    let entry = |(position, key): (usize, &&str)| Entry {
        key: (*key).to_owned(),
        description: None,
        checksum: None,
        name: format!("{key} something"),
        position: format!("{position:020}"),
        succeeded: true,
    };
    let entries = keys.iter().enumerate().map(entry).collect();
    History { tool: Tool::Sqlx, table: Tool::Sqlx.table(), entries, problems: Vec::new() }
}

#[track_caller]
fn assert_problems(migrations: &[&'static [&'static str]], history: &History, expected: &[&str]) {
    let problems = version(&registry(migrations), history, false).unwrap_err();
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems, expected);
}

const THREE: &[&[&str]] = &[&["1_a"], &["2_b.sql"], &["3_c.up.sql"]];

#[test]
fn the_version_is_the_last_of_what_was_applied() {
    let registry = registry(THREE);
    for (keys, expected) in [(&[][..], -1), (&["1"], 0), (&["1", "2"], 1), (&["1", "2", "3"], 2)] {
        assert_eq!(version(&registry, &applied(keys), false), Ok(expected));
    }
}

#[test]
fn new_migrations_follow_behind_those_that_replace() {
    assert_eq!(version(&registry(&[&["1"], &["2"], &[]]), &applied(&["1", "2"]), false), Ok(1));
    assert_eq!(version(&registry(&[&[]]), &applied(&[]), false), Ok(-1));
}

#[test]
fn one_migration_may_stand_for_several() {
    let registry = registry(&[&["1", "2"], &["3"]]);
    assert_eq!(version(&registry, &applied(&["1", "2"]), false), Ok(0));
    assert!(version(&registry, &applied(&["1"]), false).is_err());
}

#[test]
fn what_is_missing_is_named_with_what_stands_for_it() {
    assert_problems(
        THREE,
        &applied(&["1", "3"]),
        &["2_b.sql is missing: it was not applied, and m0001 stands for it"],
    );
    assert_problems(
        &[&["1", "2"]],
        &applied(&["1"]),
        &["2 is missing: it was not applied, and m0000 stands for it"],
    );
}

#[test]
fn what_is_extra_is_named_as_the_old_tool_shows_it() {
    assert_problems(
        THREE,
        &applied(&["1", "7"]),
        &["7 something is extra: it was applied, but no migration of the registry stands for it"],
    );
}

#[test]
fn a_failed_one_counts_as_not_applied() {
    let mut history = applied(&["1", "2"]);
    history.entries[1].succeeded = false;
    assert_problems(THREE, &history, &["2 something failed half way"]);
}

#[test]
fn those_out_of_order_are_named_unless_that_is_accepted() {
    let history = applied(&["1", "3", "2"]);
    assert_problems(
        THREE,
        &history,
        &["2_b.sql is out of order: it was applied after 3_c.up.sql, but comes before it in the \
             registry"],
    );
    assert_eq!(version(&registry(THREE), &history, true), Ok(2));
}

#[test]
fn what_was_applied_at_the_same_moment_is_in_order() {
    let mut history = applied(&["1", "3", "2"]);
    history.entries[2].position = history.entries[1].position.clone();
    assert_eq!(version(&registry(THREE), &history, false), Ok(2));
}

#[test]
fn a_migration_without_a_name_has_none_behind_it_that_was_applied() {
    assert_problems(
        &[&["1"], &[], &["2"]],
        &applied(&["1", "2"]),
        &["m0001 does not say what it replaces, but migrations after it were applied"],
    );
}

#[test]
fn a_name_that_is_none_or_twice_is_named() {
    assert_problems(
        &[&["1"], &["first"], &["01_again"]],
        &applied(&["1"]),
        &[
            "m0001 replaces \"first\", which cannot be the name of a migration of sqlx",
            "01_again is replaced by both m0000 and m0002",
        ],
    );
}

#[test]
fn one_of_another_description_under_the_same_number_is_another() {
    let mut history = applied(&["1", "2"]);
    history.entries[0].description = Some("a".into());
    history.entries[1].description = Some("orders".into());
    assert_problems(
        THREE,
        &history,
        &["2 something was applied, but the registry has 2_b.sql under that number"],
    );
    // A number alone says nothing of that.
    assert_eq!(version(&registry(&[&["1"], &["2"]]), &history, false), Ok(1));
}

#[test]
fn the_migrations_of_quart_db_have_the_same_numbers() {
    let mut history = applied(&["0", "1"]);
    history.tool = Tool::QuartDb;
    assert_eq!(version(&registry(&[&[], &[], &[]]), &history, false), Ok(1));
    assert!(version(&registry(&[&[]]), &history, false).is_err());
    assert_eq!(version(&registry(&[&["0.py", "1.py"], &["2.py"]]), &history, false), Ok(0));
    assert_eq!(version(&registry(&[&["0.py", "1.py"], &[]]), &history, false), Ok(0));
}
