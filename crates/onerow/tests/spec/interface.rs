//! Promises of the interface that need no database.

use std::collections::HashSet;

use onerow::{ErrorKind, SqlMigration, prelude::*};

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
fn a_script_says_its_mode_either_way() {
    for (mode, transactional) in [(Mode::Transaction, true), (Mode::Outside, false)] {
        let script = SqlMigration::new("1_vacuum", "vacuum", "VACUUM", mode);
        assert_eq!((script.mode(), script.transactional()), (mode, transactional));
    }
}

/// As SeaORM's documentation has them, with onerow's prelude alone.
#[test]
fn the_prelude_has_what_statements_are_written_with() {
    use onerow::prelude::extension::postgres;

    #[derive(DeriveIden)]
    enum Cake {
        Table,
        Id,
        Name,
        BakeryId,
    }

    let table = Table::create()
        .table(Cake::Table)
        .if_not_exists()
        .col(ColumnDef::new(Cake::Id).integer().not_null().auto_increment().primary_key())
        .col(schema::string(Cake::Name).default(Expr::current_timestamp()))
        .foreign_key(
            ForeignKey::create()
                .from(Cake::Table, Cake::BakeryId)
                .to(Alias::new("bakery"), Alias::new("id"))
                .on_delete(ForeignKeyAction::Cascade),
        )
        .take();
    let index = Index::create()
        .name("cake_name")
        .table(Cake::Table)
        .col((Cake::Name, IndexOrder::Desc))
        .and_where(Expr::col(Cake::Id).gt(1))
        .take();
    let insert = Query::insert()
        .into_table(Cake::Table)
        .columns([Cake::Name])
        .values_panic(["tart".into()])
        .on_conflict(OnConflict::column(Cake::Id).update_column(Cake::Name).to_owned())
        .take();
    let select = Query::select()
        .column(Asterisk)
        .from(Cake::Table)
        .cond_where(any![Expr::col(Cake::Id).is_null(), all![Expr::col(Cake::Name).like("a%")]])
        .order_by_with_nulls(Cake::Id, Order::Asc, NullOrdering::Last)
        .take();
    let kinds = Type::create().as_enum("kind").values(["a", "b"]).to_owned();
    let extension = postgres::Extension::create().name("citext").if_not_exists().to_owned();
    for (sql, begins) in [
        (table.to_string(PostgresQueryBuilder), "CREATE TABLE IF NOT EXISTS \"cake\""),
        (index.to_string(SqliteQueryBuilder), "CREATE INDEX \"cake_name\""),
        (insert.to_string(SqliteQueryBuilder), "INSERT INTO \"cake\""),
        (select.to_string(PostgresQueryBuilder), "SELECT * FROM \"cake\""),
        (kinds.to_string(PostgresQueryBuilder), "CREATE TYPE \"kind\""),
        (extension.to_string(PostgresQueryBuilder), "CREATE EXTENSION IF NOT EXISTS"),
    ] {
        assert!(sql.starts_with(begins), "{sql}");
    }
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
