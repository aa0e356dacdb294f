//! An entity compared with its table.

use std::fmt::{self, Debug, Display, Formatter};

use onerow_sql::{quoted_name, standard_literal};
use sea_orm::{
    ColumnTrait, ConnectionTrait, Database, DatabaseBackend, DbErr, EntityTrait, IdenStatic,
    Iterable, PrimaryKeyToColumn, PrimaryKeyTrait, Schema as EntitySchema, TransactionSession,
    TransactionTrait,
    sea_query::{
        ColumnDef, ForeignKeyAction, ForeignKeyCreateStatement, SchemaName,
        Table as TableStatement, TableCreateStatement, TableName, TableRef,
    },
};

use super::{Column, ForeignKey, Schema, Table, postgres::current_schema, rows, sql};

/// The differences between an entity and its table, a sentence each.
///
/// ```text
/// members.email: text in the database, character varying(255) in the entity
/// members.nick: not in the database
/// members.last_totp: not in the entity
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct EntityDifference(Vec<String>);

impl EntityDifference {
    /// Compares an entity with its table: columns in both directions, with type, nullability and
    /// primary key, and the foreign keys and unique constraints that the entity declares.
    ///
    /// Defaults, checks, and keys and indexes that only the table has do not count. On PostgreSQL
    /// it makes a table to compare with, in a transaction that it rolls back; on SQLite it makes
    /// one in memory.
    ///
    /// # Errors
    /// If a query fails, for instance because the database lacks a type of the entity.
    /// [`DbErr::Custom`] for an entity in a named schema on SQLite.
    pub async fn of<C, E>(db: &C, entity: E) -> Result<Self, DbErr>
    where
        C: ConnectionTrait + TransactionTrait,
        E: EntityTrait,
    {
        let backend = db.get_database_backend();
        let description = Description::of(entity, backend);
        let tables = match backend {
            DatabaseBackend::Postgres => {
                let transaction = db.begin().await?;
                let read = on_postgres(&transaction, &description).await;
                transaction.rollback().await?;
                read?
            }
            _ => on_sqlite(db, &description).await?,
        };
        Ok(Self(description.differences(tables)))
    }

    /// Whether the entity matches its table.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Display for EntityDifference {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl Debug for EntityDifference {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

/// The table in the database, and one with the entity's columns, whose types the database has
/// named. `None` if there is nothing to compare with.
type Tables = Option<(Table, Table)>;

/// The name of a schema that goes with the transaction.
const SCRATCH: &str = "onerow_entity";

async fn on_postgres(
    transaction: &impl ConnectionTrait,
    entity: &Description,
) -> Result<Tables, DbErr> {
    let found = match &entity.schema {
        Some(schema) if !put_first(transaction, schema).await? => None,
        _ => Schema::of(transaction).await?.table(&entity.table).cloned(),
    };
    let Some(found) = found else { return Ok(None) };
    transaction.execute_unprepared(&format!("CREATE SCHEMA {SCRATCH}")).await?;
    // The rest of the path has the enum types of columns.
    put_first(transaction, SCRATCH).await?;
    transaction.execute(&entity.columns_only).await?;
    let described = Schema::of(transaction).await?.table(&entity.table).cloned();
    Ok(described.map(|described| (found, described)))
}

/// Puts a schema in front of the search path; false if there is no schema of this name.
async fn put_first(transaction: &impl ConnectionTrait, schema: &str) -> Result<bool, DbErr> {
    let path = standard_literal(&quoted_name(schema));
    let sql = format!(
        "SELECT pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ', {path},
             CASE WHEN pg_catalog.current_setting('search_path') OPERATOR(pg_catalog.<>) ''
                 THEN pg_catalog.current_setting('search_path') END), true)"
    );
    rows(transaction, sql).await?;
    Ok(current_schema(transaction).await?.as_deref() == Some(schema))
}

async fn on_sqlite(db: &impl ConnectionTrait, entity: &Description) -> Result<Tables, DbErr> {
    if let Some(schema) = &entity.schema {
        let reason = format!(
            "the entity of {} is in the schema {schema}, and SQLite has none",
            entity.table
        );
        return Err(DbErr::Custom(reason));
    }
    let found = Schema::of(db).await?.table(&entity.table).cloned();
    let Some(found) = found else { return Ok(None) };
    let scratch = Database::connect("sqlite::memory:").await?;
    scratch.execute(&entity.columns_only).await?;
    let described = Schema::of(&scratch).await?.table(&entity.table).cloned();
    scratch.close().await?;
    Ok(described.map(|described| (found, described)))
}

/// An entity's view of its table.
struct Description {
    schema: Option<String>,
    table: String,
    /// The name, and whether it is nullable.
    columns: Vec<(String, bool)>,
    /// The columns without constraints, which may refer to what the database does not have.
    columns_only: TableCreateStatement,
    primary_key: Vec<String>,
    /// The key that the database is to generate.
    generated_key: Option<String>,
    /// The columns of each are sorted.
    unique: Vec<Vec<String>>,
    foreign: Vec<ForeignKey>,
}

impl Description {
    fn of<E: EntityTrait>(entity: E, backend: DatabaseBackend) -> Self {
        let statements = EntitySchema::new(backend);
        let schema = entity.schema_name().map(str::to_owned);
        let key = E::PrimaryKey::iter().map(|key| key.into_column().as_str().to_owned());
        let primary_key: Vec<String> = key.collect();
        let generated_key = match &*primary_key {
            [key] if E::PrimaryKey::auto_increment() => Some(key.clone()),
            _ => None,
        };
        let keys = statements.create_table_from_entity(entity);
        let foreign = keys.get_foreign_key_create_stmts().iter();
        Self {
            table: entity.table_name().to_owned(),
            columns: E::Column::iter()
                .map(|column| (name_of(column), column.def().is_null()))
                .collect(),
            columns_only: columns_only::<E>(entity, &statements),
            primary_key,
            generated_key,
            unique: unique_columns::<E>(entity, &statements),
            foreign: foreign.map(|key| foreign_key(key, schema.as_deref())).collect(),
            schema,
        }
    }

    fn label(&self) -> String {
        self.schema.as_ref().map_or(self.table.clone(), |schema| format!("{schema}.{}", self.table))
    }

    fn differences(&self, tables: Tables) -> Vec<String> {
        let label = self.label();
        let Some((table, described)) = tables else {
            return vec![format!("{label}: no such table in the database")];
        };
        let mut found = Vec::new();
        for (name, nullable) in &self.columns {
            let data_type = described.column(name).map_or("", |column| &column.data_type);
            let problems = match table.column(name) {
                Some(column) => self.column_differences(&table, column, data_type, *nullable),
                None => vec!["not in the database".into()],
            };
            found.extend(problems.into_iter().map(|problem| format!("{label}.{name}: {problem}")));
        }
        let unknown = table
            .columns
            .iter()
            .filter(|column| !self.columns.iter().any(|(name, _)| *name == column.name));
        found.extend(unknown.map(|column| format!("{label}.{}: not in the entity", column.name)));
        found.extend(
            self.key_differences(&table).into_iter().map(|problem| format!("{label}: {problem}")),
        );
        found
    }

    fn column_differences(
        &self,
        table: &Table,
        column: &Column,
        data_type: &str,
        nullable: bool,
    ) -> Vec<String> {
        let mut found = Vec::new();
        if !same_type(&column.data_type, data_type) {
            found.push(format!("{} in the database, {data_type} in the entity", column.data_type));
        }
        if column.nullable != nullable {
            let word = |nullable| if nullable { "nullable" } else { "not null" };
            found.push(format!(
                "{} in the database, {} in the entity",
                word(column.nullable),
                word(nullable)
            ));
        }
        match (table.keys.primary.contains(&column.name), self.primary_key.contains(&column.name)) {
            (true, false) => {
                found.push("in the primary key of the database, not of the entity".into());
            }
            (false, true) => {
                found.push("in the primary key of the entity, not of the database".into());
            }
            _ => (),
        }
        let generated = column.generated.is_some()
            || column.default.is_some()
            || table.keys.row_number.as_ref() == Some(&column.name);
        if self.generated_key.as_ref() == Some(&column.name) && !generated {
            found.push(
                "the entity leaves it to the database, which neither generates it nor has a default"
                    .into(),
            );
        }
        found
    }

    fn key_differences(&self, table: &Table) -> Vec<String> {
        let mut primary = table.keys.primary.clone();
        primary.sort();
        let missing =
            self.unique.iter().filter(|key| **key != primary && !table.keys.unique.contains(key));
        let unique =
            missing.map(|key| format!("unique ({}) not in the database", sql::name_list(key)));
        unique
            .chain(self.foreign.iter().filter_map(|key| foreign_key_difference(table, key)))
            .collect()
    }
}

fn name_of(column: impl ColumnTrait) -> String {
    column.as_str().to_owned()
}

fn columns_only<E: EntityTrait>(entity: E, statements: &EntitySchema) -> TableCreateStatement {
    let mut table = TableStatement::create();
    table.table(entity.table_name());
    for column in E::Column::iter() {
        if let Some(data_type) = statements.get_column_def::<E>(column).get_column_type() {
            table.col(ColumnDef::new_with_type(column, data_type.clone()));
        }
    }
    table
}

fn unique_columns<E: EntityTrait>(entity: E, statements: &EntitySchema) -> Vec<Vec<String>> {
    let alone = E::Column::iter()
        .filter(|column| column.def().is_unique())
        .map(|column| vec![name_of(column)]);
    let indexes = statements.create_index_from_entity(entity);
    let together = indexes.iter().filter(|index| index.is_unique_key()).map(|index| {
        let mut columns = index.get_index_spec().get_column_names();
        columns.sort();
        columns
    });
    alone.chain(together).collect()
}

fn foreign_key(statement: &ForeignKeyCreateStatement, schema: Option<&str>) -> ForeignKey {
    let key = statement.get_foreign_key();
    let table = match key.get_ref_table() {
        Some(TableRef::Table(TableName(Some(SchemaName(_, other)), table), _))
            if schema != Some(&other.inner()) =>
        {
            format!("{}.{}", other.inner(), table.inner())
        }
        Some(TableRef::Table(TableName(_, table), _)) => table.inner().into_owned(),
        _ => String::new(),
    };
    ForeignKey {
        columns: key.get_columns(),
        table,
        target: key.get_ref_columns(),
        on_delete: action(key.get_on_delete()).into(),
        on_update: action(key.get_on_update()).into(),
    }
}

fn action(action: Option<ForeignKeyAction>) -> &'static str {
    match action {
        Some(ForeignKeyAction::Restrict) => "restrict",
        Some(ForeignKeyAction::Cascade) => "cascade",
        Some(ForeignKeyAction::SetNull) => "set null",
        Some(ForeignKeyAction::SetDefault) => "set default",
        _ => "",
    }
}

fn foreign_key_difference(table: &Table, wanted: &ForeignKey) -> Option<String> {
    let alike: Vec<_> =
        table.keys.foreign.iter().filter(|found| refers_alike(found, wanted)).collect();
    let actions = |key: &ForeignKey| (key.on_delete.clone(), key.on_update.clone());
    match &*alike {
        [] => Some(format!("{wanted} not in the database")),
        [..] if alike.iter().any(|found| actions(found) == actions(wanted)) => None,
        [found, ..] => Some(format!("{found} in the database, {wanted} in the entity")),
    }
}

/// Whether two keys refer from the same columns to the same columns. The order does not matter.
fn refers_alike(found: &ForeignKey, wanted: &ForeignKey) -> bool {
    let pairs = |key: &ForeignKey| {
        let mut pairs: Vec<_> =
            key.columns.iter().cloned().zip(key.target.iter().cloned()).collect();
        pairs.sort();
        pairs
    };
    // The search path found the entity's table in a schema. The catalog names that schema if it is
    // another one.
    let same_table =
        found.table == wanted.table || found.table.ends_with(&format!(".{}", wanted.table));
    same_table && pairs(found) == pairs(wanted)
}

/// PostgreSQL and SQLite both have two names for text without a limit.
fn same_type(found: &str, wanted: &str) -> bool {
    const TEXT: [&str; 3] = ["text", "character varying", "varchar"];
    found == wanted || (TEXT.contains(&found) && TEXT.contains(&wanted))
}
