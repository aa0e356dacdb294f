//! A member's to-dos.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

/// A row of `todos`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "todos")]
pub struct Model {
    /// The database generates it.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The member it belongs to. It is deleted with the member.
    pub member_id: i64,
    /// The text.
    #[sea_orm(column_type = "Text")]
    pub task: String,
    /// Whether it is done.
    pub complete: bool,
    /// When it is due, if it matters.
    pub due: Option<DateTimeUtc>,
    /// The database sets it.
    pub created: DateTimeUtc,
    /// How urgent it is.
    pub priority: Priority,
    /// The member it belongs to.
    #[sea_orm(belongs_to, from = "member_id", to = "id", on_delete = "Cascade")]
    #[serde(skip)]
    pub member: BelongsTo<super::member::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}

/// How urgent a to-do is. The database has it as a small number, JSON as a word.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, EnumIter, DeriveActiveEnum, Serialize, Deserialize,
)]
#[sea_orm(rs_type = "i16", db_type = "SmallInteger")]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// The priority of a to-do that names none.
    #[default]
    #[sea_orm(num_value = 0)]
    Normal,
    /// Before the normal ones.
    #[sea_orm(num_value = 1)]
    High,
    /// Before all others.
    #[sea_orm(num_value = 2)]
    Urgent,
}
