//! A command line over two migrations. The variable `SUBJECT` says what the second does.

use std::{
    env,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use onerow::prelude::*;

fn main() -> ExitCode {
    onerow_cli::run(Registry::new(vec![Box::new(Plain), Box::new(Subject)]))
}

/// Longer than any test waits.
const LONG: Duration = Duration::from_mins(2);

const SPEAK: &str = "DO $$ BEGIN
    RAISE NOTICE 'a notice';
    RAISE WARNING 'a warning';
    RAISE INFO 'an information';
END $$; CREATE TABLE IF NOT EXISTS plain (id INTEGER)";

struct Plain;

#[async_trait]
impl MigrationTrait for Plain {
    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        db.execute_unprepared("CREATE TABLE plain (id INTEGER)").await.map(drop)
    }
}

struct Subject;

#[async_trait]
impl MigrationTrait for Subject {
    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        match env::var("SUBJECT").as_deref() {
            Ok("blocks") => {
                eprintln!("m0001 blocks");
                thread::sleep(LONG);
            }
            Ok("computes") => {
                eprintln!("m0001 computes");
                compute(LONG);
            }
            Ok("speaks") => return db.execute_unprepared(SPEAK).await.map(drop),
            _ => (),
        }
        Ok(())
    }
}

fn compute(limit: Duration) {
    let started = Instant::now();
    while started.elapsed() < limit {
        std::hint::spin_loop();
    }
}
