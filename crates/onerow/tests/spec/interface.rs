//! Promises of the interface that need no database.

use std::collections::HashSet;

use onerow::{ErrorKind, prelude::*};

/// Migrations said it like this before there were modes.
struct NotTransactional;

#[async_trait]
impl MigrationTrait for NotTransactional {
    fn transactional(&self) -> bool {
        false
    }

    async fn migrate(&self, _: &Database) -> Result<(), DbErr> {
        Ok(())
    }
}

struct Plain;

#[async_trait]
impl MigrationTrait for Plain {
    async fn migrate(&self, _: &Database) -> Result<(), DbErr> {
        Ok(())
    }
}

#[test]
fn a_migration_runs_in_a_transaction_unless_it_says_otherwise() {
    assert_eq!(Plain.mode(), Mode::Transaction);
    assert_eq!(NotTransactional.mode(), Mode::Outside);
}

#[test]
fn each_kind_of_error_has_a_name_of_its_own_in_snake_case() {
    let names: HashSet<_> = ErrorKind::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(names.len(), ErrorKind::ALL.len());
    for kind in ErrorKind::ALL {
        // `MigrationFailed` is `migration_failed`.
        let words = kind.as_str().split('_').map(|word| {
            let (first, rest) = word.split_at(1);
            first.to_uppercase() + rest
        });
        assert_eq!(words.collect::<String>(), format!("{kind:?}"));
    }
}
