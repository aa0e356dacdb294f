//! Members can protect their accounts with time-based one-time passwords (RFC 6238).

use onerow::prelude::{schema::*, *};

pub struct Migration;

#[async_trait]
impl MigrationTrait for Migration {
    fn description(&self) -> &str {
        "time-based one-time passwords"
    }

    /// `last_totp` is the password that was accepted last: by RFC 6238, each may be used once.
    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        // SQLite adds one column in each statement.
        for column in ["totp_secret", "last_totp"] {
            let members = Table::alter().table("members").add_column(text_null(column)).take();
            db.schema().alter_table(members).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use onerow_testing::{Backend, on_every_backend};

    use crate::registry;

    on_every_backend! {
        async fn the_members_of_before_have_no_one_time_passwords(backend: Backend) {
            let db = backend.database_before(registry(), 1).await;
            db.sql("INSERT INTO members (email, password_hash) VALUES ('ada@example.org', 'hash')")
                .await;

            db.apply(1).keeping_every_row().await.unwrap();

            assert_eq!(
                db.rows("SELECT email, totp_secret, last_totp FROM members").await,
                ["ada@example.org|NULL|NULL"]
            );
        }

        async fn a_member_can_turn_them_on(backend: Backend) {
            let db = backend.database_at(registry(), 1).await;

            db.sql(
                "INSERT INTO members (email, totp_secret, last_totp) \
                VALUES ('ada@example.org', 'JBSWY3DP', '000042')",
            )
            .await;

            assert_eq!(
                db.rows("SELECT totp_secret, last_totp FROM members").await,
                ["JBSWY3DP|000042"]
            );
        }
    }
}
