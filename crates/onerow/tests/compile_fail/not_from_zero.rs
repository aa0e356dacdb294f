//! The first is m0000.

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

mod m0001 {
    migration!();
}
mod m0002 {
    migration!();
}

fn main() {
    let _ = onerow::registry![m0001, m0002];
}
