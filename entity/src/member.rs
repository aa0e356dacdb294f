//! The people who keep to-dos.

use sea_orm::entity::prelude::*;

/// A row of `members`. It holds secrets, so it cannot be serialized.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "members")]
pub struct Model {
    /// Given by the database.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// As it was typed; no other member's differs from it only by the case of A to Z.
    #[sea_orm(column_type = "Text")]
    pub email: String,
    /// None until the member has set a password.
    #[sea_orm(column_type = "Text")]
    pub password_hash: Option<String>,
    /// Given by the database.
    pub created: DateTimeUtc,
    /// When the member proved that the e-mail is theirs.
    pub email_verified: Option<DateTimeUtc>,
    /// The key of the member's one-time passwords (RFC 6238), if they are turned on.
    #[sea_orm(column_type = "Text")]
    pub totp_secret: Option<String>,
    /// The one-time password accepted last, which is not accepted again.
    #[sea_orm(column_type = "Text")]
    pub last_totp: Option<String>,
    /// What the member has to do.
    #[sea_orm(has_many)]
    pub todos: HasMany<super::todo::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}
