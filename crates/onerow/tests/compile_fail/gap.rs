//! Between 0 and 2 there is a 1.

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
mod m0002 {
    migration!();
}

fn main() {
    let _ = onerow::registry![m0000, m0002];
}
