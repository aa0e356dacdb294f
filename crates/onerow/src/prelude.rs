//! The names that a migration needs: `use onerow::prelude::*;`, or
//! `use onerow::prelude::{schema::*, *};` for the column helpers too.
//!
//! Of `sea_query` it has the names that change schemas and data. The others are in [`sea_query`].

pub use crate::{
    database::Database,
    index::create_index,
    migration::{MigrationTrait, Mode},
    registry::Registry,
};
pub use async_trait::async_trait;
pub use sea_orm::{
    self, ConnectionTrait, DatabaseBackend, DbErr, DeriveIden, Statement, TransactionTrait,
};
pub use sea_orm_migration::{SchemaManager, schema};

pub use sea_orm_migration::sea_query::{
    // Names.
    self,
    Alias,
    Asterisk,
    // Tables.
    Check,
    ColumnDef,
    ColumnType,
    // Conditions and expressions.
    Cond,
    Condition,
    Expr,
    ExprTrait,
    // Keys and indexes.
    ForeignKey,
    ForeignKeyAction,
    ForeignKeyCreateStatement,
    ForeignKeyDropStatement,
    Func,
    Iden,
    IdenStatic,
    Index,
    IndexCreateStatement,
    IndexDropStatement,
    IndexOrder,
    IndexType,
    IntoCondition,
    IntoIden,
    IntoTableRef,
    JoinType,
    // Rows.
    OnConflict,
    Order,
    PostgresQueryBuilder,
    Query,
    SchemaStatementBuilder,
    SimpleExpr,
    SqliteQueryBuilder,
    StringLen,
    Table,
    TableAlterStatement,
    TableCreateStatement,
    TableDropStatement,
    TableForeignKey,
    TableRef,
    Value,
    extension::postgres::Type,
};
