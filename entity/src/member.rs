//! The people who keep to-dos.

use sea_orm::entity::prelude::*;

/// A row of `members`. It holds secrets, so it cannot be serialized.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "members")]
pub struct Model {
    /// The database generates it.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// As the member typed it. No other member's address differs from it only in the case of A to
    /// Z.
    #[sea_orm(column_type = "Text")]
    pub email: String,
    /// None until the member has set a password.
    #[sea_orm(column_type = "Text")]
    pub password_hash: Option<String>,
    /// The database sets it.
    pub created: DateTimeUtc,
    /// When the member proved that the e-mail is theirs.
    pub email_verified: Option<DateTimeUtc>,
    /// The key of the member's one-time passwords (RFC 6238), if they are turned on.
    #[sea_orm(column_type = "Text")]
    pub totp_secret: Option<String>,
    /// The last one-time password that was accepted. It is not accepted again.
    #[sea_orm(column_type = "Text")]
    pub last_totp: Option<String>,
    /// The member's to-dos.
    #[sea_orm(has_many)]
    pub todos: HasMany<super::todo::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}
