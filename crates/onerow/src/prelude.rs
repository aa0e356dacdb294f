//! The names that a migration needs: `use onerow::prelude::*;`, or
//! `use onerow::prelude::{schema::*, *};` for the column helpers too.
//!
//! Of `sea_query` it has the names that change schemas and data. The others are in [`sea_query`].
//! Its `PgExpr` is in [`extension`] alone: its `contains` would hide that of strings.

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
    self, Alias, Asterisk, BinOper, CaseStatement, Check, ColumnDef, ColumnRef, ColumnType,
    CommonTableExpression, Cond, Condition, ConditionalStatement, DeleteStatement, DynIden, Expr,
    ExprTrait, ForeignKey, ForeignKeyAction, ForeignKeyCreateStatement, ForeignKeyDropStatement,
    Func, Iden, IdenStatic, Index, IndexColumn, IndexCreateStatement, IndexDropStatement,
    IndexOrder, IndexType, InsertStatement, IntoColumnDef, IntoColumnRef, IntoCondition, IntoIden,
    IntoIndexColumn, IntoTableRef, JoinType, Keyword, LikeExpr, NullOrdering, OnConflict, Order,
    OrderedStatement, OverStatement, PgInterval, PostgresQueryBuilder, Query,
    QueryStatementBuilder, QueryStatementWriter, SchemaStatementBuilder, SeaRc, SelectStatement,
    SimpleExpr, SqliteQueryBuilder, StringLen, SubQueryStatement, Table, TableAlterStatement,
    TableCreateStatement, TableDropStatement, TableForeignKey, TableRef, TableRenameStatement,
    TableTruncateStatement, UnionType, UpdateStatement, Value, Values, WindowStatement, WithClause,
    WithQuery, all, any, extension, extension::postgres::Type,
};
