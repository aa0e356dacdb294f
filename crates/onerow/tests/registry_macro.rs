//! Modules that `registry!` accepts, and the words by which it and `embed_migrations!` reject
//! others.
//!
//! If the words change: `TRYBUILD=overwrite cargo test -p onerow --all-features --test
//! registry_macro`.

/// A migration that does nothing.
macro_rules! migration {
    () => {
        use onerow::prelude::*;

        pub struct Migration;

        #[async_trait]
        impl MigrationTrait for Migration {
            async fn migrate(&self, _: &Database) -> Result<(), DbErr> {
                Ok(())
            }
        }
    };
}

mod m0000 {
    migration!();
}
mod m0001 {
    migration!();
}

/// This is not a case for trybuild: with one case that has to compile, it would build all
/// dependencies instead of checking them.
#[test]
fn it_accepts_migrations_in_order_from_m0000() {
    assert_eq!(onerow::registry![].latest(), -1);
    assert_eq!(onerow::registry![m0000].latest(), 0);
    assert_eq!(onerow::registry![m0000, m0001,].latest(), 1);
}

#[test]
fn they_reject_anything_else_when_they_are_compiled() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
