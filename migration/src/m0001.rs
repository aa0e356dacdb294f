//! A member can protect the account with time-based one-time passwords (RFC 6238).

use onerow::prelude::{schema::*, *};

pub struct Migration;

#[async_trait]
impl MigrationTrait for Migration {
    fn description(&self) -> &str {
        "time-based one-time passwords"
    }

    /// `last_totp` is the password accepted last: RFC 6238 lets each be used once.
    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        // A statement for each column: SQLite adds one at a time.
        for column in ["totp_secret", "last_totp"] {
            let members = Table::alter().table("members").add_column(text_null(column)).take();
            db.schema().alter_table(members).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use onerow::prelude::*;
    use onerow::testing::{TestDatabase, on_every_backend};

    use crate::{registry, rows::texts};

    on_every_backend! {
        async fn the_members_of_before_have_no_one_time_passwords(db: TestDatabase) {
            db.up_to(&registry(), 0).await.unwrap();
            db.execute_unprepared("INSERT INTO members (email, password_hash) VALUES ('ada@example.org', 'hash')")
                .await
                .unwrap();

            db.apply(&registry(), 1).await.unwrap();

            let unprotected = "SELECT email || ' ' || password_hash FROM members
                               WHERE totp_secret IS NULL AND last_totp IS NULL";
            assert_eq!(texts(&db, unprotected).await, ["ada@example.org hash"]);
        }

        async fn a_member_can_turn_them_on(db: TestDatabase) {
            db.up_to(&registry(), 0).await.unwrap();
            db.execute_unprepared("INSERT INTO members (email) VALUES ('ada@example.org')").await.unwrap();

            db.apply(&registry(), 1).await.unwrap();
            db.execute_unprepared("UPDATE members SET totp_secret = 'JBSWY3DP', last_totp = '000042'").await.unwrap();

            assert_eq!(texts(&db, "SELECT totp_secret || last_totp FROM members").await, ["JBSWY3DP000042"]);
        }
    }
}
