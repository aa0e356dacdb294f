//! The run: which scenarios, how often, and the output.

use std::{
    any::Any,
    env,
    hash::{DefaultHasher, Hash, Hasher},
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};

use fastrand::Rng;
use futures_util::FutureExt;
use onerow_testing::Backend;
use tokio::time::timeout;

use crate::{
    cancel, commit_crash, crowd, cut, disk_full, few_slots, lock, lost_claim,
    place::{Kind, World},
    scenario::{Round, Scenario},
    server_crash, sigkill, silence, stopped,
    tally::{Summary, Tally},
    terminate, timeouts,
};

/// The faults on each backend, if the environment does not say.
const SHORT: usize = 60;

/// More than all limits inside a round together, for rounds that have none.
const ROUND: Duration = Duration::from_mins(10);

/// A scenario that fails so often is not tried further.
const ENOUGH: usize = 3;

/// How many rounds a fault may take. Most rounds have one or two faults, but every second round of
/// a crowd has none.
const PATIENCE: usize = 20;

struct Settings {
    faults: usize,
    seed: u64,
    only: String,
    arguments: Arguments,
}

impl Settings {
    fn read() -> Self {
        Self {
            faults: variable("ONEROW_FAULTS").unwrap_or(SHORT),
            seed: variable("ONEROW_FAULT_SEED").unwrap_or_else(|| fastrand::u64(..)),
            only: env::var("ONEROW_FAULT_ONLY").unwrap_or_default(),
            arguments: Arguments::parse(env::args().skip(1)),
        }
    }

    fn selects(&self, scenario: &dyn Scenario) -> bool {
        let name = full_name(scenario);
        name.contains(&self.only) && self.arguments.select(&name)
    }
}

fn variable<T: FromStr>(name: &str) -> Option<T> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, which is not a number")))
}

/// The part of libtest's command line that `cargo test` with a filter, and tools that list tests,
/// need.
#[derive(Default)]
struct Arguments {
    list: bool,
    ignored: bool,
    filters: Vec<String>,
    skip: Vec<String>,
}

impl Arguments {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Self {
        let mut parsed = Self::default();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--list" => parsed.list = true,
                "--ignored" => parsed.ignored = true,
                "--skip" => parsed.skip.extend(arguments.next()),
                "--test-threads" | "--format" | "--color" | "--logfile" | "-Z" => {
                    drop(arguments.next());
                }
                flag if flag.starts_with('-') => (),
                filter => parsed.filters.push(filter.into()),
            }
        }
        parsed
    }

    fn select(&self, name: &str) -> bool {
        let asked =
            self.filters.is_empty() || self.filters.iter().any(|filter| name.contains(filter));
        asked && !self.ignored && !self.skip.iter().any(|skip| name.contains(skip))
    }
}

fn scenarios() -> Vec<Box<dyn Scenario>> {
    let mut all: Vec<Box<dyn Scenario>> = Vec::new();
    all.extend(sigkill::scenarios());
    all.extend(server_crash::scenarios());
    all.extend(commit_crash::scenarios());
    all.extend(terminate::scenarios());
    all.extend(cut::scenarios());
    all.extend(crowd::scenarios());
    all.extend(lock::scenarios());
    all.extend(cancel::scenarios());
    all.extend(disk_full::scenarios());
    all.extend(lost_claim::scenarios());
    all.extend(silence::scenarios());
    all.extend(timeouts::scenarios());
    all.extend(few_slots::scenarios());
    all.extend(stopped::scenarios());
    all
}

fn full_name(scenario: &dyn Scenario) -> String {
    format!("{}::{}", scenario.name(), scenario.kind().name())
}

pub async fn run() -> ExitCode {
    let settings = Settings::read();
    let mut selected = scenarios();
    selected.retain(|scenario| settings.selects(&**scenario));
    if settings.arguments.list {
        for scenario in &selected {
            println!("{}: test", full_name(&**scenario));
        }
        return ExitCode::SUCCESS;
    }
    // The backtrace would show the suite and not the engine. The message comes with the seed.
    panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
    let wanted = Wanted::read(!selected.is_empty());
    selected.retain(|scenario| wanted.includes(scenario.kind().backend()));
    run_all(settings, selected).await
}

/// The backends to attack. Each is asked about once, because asking prints what is left out.
struct Wanted {
    sqlite: bool,
    postgres: bool,
}

impl Wanted {
    fn read(any: bool) -> Self {
        Self {
            sqlite: any && Backend::Sqlite.is_wanted(),
            postgres: any && Backend::Postgres.is_wanted(),
        }
    }

    fn includes(&self, backend: Backend) -> bool {
        match backend {
            Backend::Sqlite => self.sqlite,
            _ => self.postgres,
        }
    }
}

/// The backends run side by side: one waits for the disk, the other for the server.
async fn run_all(settings: Settings, selected: Vec<Box<dyn Scenario>>) -> ExitCode {
    println!("\nrunning {} tests", selected.len());
    println!("seed {}, {} faults on each backend", settings.seed, settings.faults);
    let started = Instant::now();
    let (on_server, on_files): (Vec<_>, Vec<_>) =
        selected.into_iter().partition(|scenario| scenario.kind() == Kind::Postgres);
    let settings = Arc::new(settings);
    let tasks = [on_server, on_files]
        .map(|scenarios| tokio::spawn(run_in_turn(Arc::clone(&settings), scenarios)));
    let (mut tallies, mut ignored) = (Vec::new(), 0);
    for task in tasks {
        let (counted, left_out) = task.await.unwrap_or_else(|error| panic!("{error}"));
        tallies.extend(counted);
        ignored += left_out;
    }
    if !tallies.is_empty() {
        println!("\n{}", Summary(&tallies));
    }
    conclude(&tallies, ignored, started.elapsed())
}

/// The counts, and how many scenarios were left out.
async fn run_in_turn(
    settings: Arc<Settings>,
    scenarios: Vec<Box<dyn Scenario>>,
) -> (Vec<Tally>, usize) {
    let world = World::default();
    let (mut tallies, mut ignored) = (Vec::new(), 0);
    for mut scenario in scenarios {
        let name = full_name(&*scenario);
        let faults = (settings.faults * scenario.share()).div_ceil(1000);
        if scenario.is_slow() && settings.faults <= SHORT {
            println!("test {name} ... ignored, in the long run only");
            ignored += 1;
            continue;
        }
        let tally = run_one(&settings, &world, &mut *scenario, faults).await;
        let result = if tally.broken == 0 { "ok" } else { "FAILED" };
        println!("test {name} ... {result} ({} faults in {:.1?})", tally.faults, tally.elapsed);
        tallies.push(tally);
    }
    (tallies, ignored)
}

fn conclude(tallies: &[Tally], ignored: usize, elapsed: Duration) -> ExitCode {
    let failed = tallies.iter().filter(|tally| tally.broken > 0).count();
    let (result, code) =
        if failed == 0 { ("ok", ExitCode::SUCCESS) } else { ("FAILED", ExitCode::FAILURE) };
    println!(
        "test result: {result}. {} passed; {failed} failed; {ignored} ignored; 0 measured; \
         0 filtered out; \
         finished in {:.2}s\n",
        tallies.len() - failed,
        elapsed.as_secs_f64()
    );
    code
}

/// Runs rounds until so many faults have hit.
async fn run_one(
    settings: &Settings,
    world: &World,
    scenario: &mut dyn Scenario,
    faults: usize,
) -> Tally {
    let started = Instant::now();
    let mut tally = Tally::new(scenario.name(), scenario.kind().name());
    let mut number = 0;
    let most = scenario.least_rounds() + faults * PATIENCE;
    while tally.broken < ENOUGH
        && number < most.min(scenario.most_rounds())
        && (tally.faults < faults || number < scenario.least_rounds())
    {
        let rng = seeded(settings.seed, &full_name(scenario), number);
        let broken = run_round(scenario, Round { world, number, rng, tally: &mut tally }).await;
        match broken {
            None => tally.rounds += 1,
            Some(message) => {
                tally.broken += 1;
                report(settings, scenario, &tally, number, &message);
            }
        }
        number += 1;
    }
    if tally.broken == 0
        && let Err(message) = conclude_one(scenario, &tally, number < most)
    {
        tally.broken += 1;
        report(settings, scenario, &tally, number, &message);
    }
    tally.elapsed = started.elapsed();
    tally
}

/// Returns the broken invariant, if there is one.
async fn run_round(scenario: &mut dyn Scenario, mut round: Round<'_>) -> Option<String> {
    let story = timeout(ROUND, scenario.round(&mut round));
    match AssertUnwindSafe(story).catch_unwind().await {
        Ok(Ok(())) => None,
        Ok(Err(_)) => Some(format!("it has not ended in {ROUND:?}")),
        Err(panic) => Some(message(&*panic)),
    }
}

fn conclude_one(scenario: &dyn Scenario, tally: &Tally, in_time: bool) -> Result<(), String> {
    if !in_time {
        return Err(format!("only {} faults have hit anything in so many rounds", tally.faults));
    }
    panic::catch_unwind(AssertUnwindSafe(|| scenario.conclude())).map_err(|panic| message(&*panic))
}

fn report(
    settings: &Settings,
    scenario: &dyn Scenario,
    tally: &Tally,
    round: usize,
    message: &str,
) {
    println!(
        "---- {}, seed {}, round {round}, after fault {}",
        full_name(scenario),
        settings.seed,
        tally.faults
    );
    println!("{message}");
    println!(
        "to repeat: ONEROW_FAULT_SEED={} ONEROW_FAULTS={} ONEROW_FAULT_ONLY={} cargo test -p \
         onerow --test fault\n",
        settings.seed,
        settings.faults,
        full_name(scenario)
    );
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

fn seeded(seed: u64, name: &str, number: usize) -> Rng {
    let mut hasher = DefaultHasher::new();
    (seed, name, number).hash(&mut hasher);
    Rng::with_seed(hasher.finish())
}
