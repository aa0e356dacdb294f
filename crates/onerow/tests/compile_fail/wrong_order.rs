//! Ascending.

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

fn main() {
    let _ = onerow::registry![m0001, m0000];
}
