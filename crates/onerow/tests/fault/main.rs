//! The fault suite: it kills real processes, crashes real servers and cuts real connections. After
//! each fault the database must be at some version *n*, complete, with nothing of *n* + 1, and the
//! next `up` must finish.
//!
//! | module | holds |
//! |---|---|
//! | `suite` | the run: which scenarios, how often, and the output |
//! | `scenario` | a scenario, and the tools of one round of it |
//! | `tally` | the counts of a scenario; the summary table |
//! | `subject` | the migrations under fire, and the result of each version |
//! | `diary` | a migration that takes its time, and shows if two runs of it overlapped |
//! | `state` | the contents of a database, read in one snapshot, compared with its version |
//! | `place` | databases to attack: on a server that can be killed, or in a file |
//! | `runner` | this program again, as a process that applies the migrations and can be killed |
//! | `running` | a run inside this process, whose error can be inspected |
//! | `proxy` | between a run and its server: counts messages, cuts connections, falls silent |
//! | `blocker` | a transaction that an index build waits for |
//! | the others | one scenario each, or a few that differ in a detail |
//!
//! | variable | what it does |
//! |---|---|
//! | `ONEROW_FAULTS` | how many faults on each backend; without it, a short run |
//! | `ONEROW_FAULT_SEED` | repeats a run's draws; without it, a new seed, which is printed |
//! | `ONEROW_FAULT_ONLY` | the scenarios whose name contains this |
//! | `ONEROW_TEST_BACKENDS` | `sqlite` or `postgres`; without it, both |

mod blocker;
mod cancel;
mod commit_crash;
mod crowd;
mod cut;
mod diary;
mod disk_full;
mod few_slots;
mod lock;
mod lost_claim;
mod place;
mod proxy;
mod runner;
mod running;
mod scenario;
mod server_crash;
mod sigkill;
mod silence;
mod state;
mod stopped;
mod subject;
mod suite;
mod tally;
mod terminate;
mod timeouts;

use std::process::ExitCode;

fn main() -> ExitCode {
    // It makes a runtime of its own.
    if let Some(code) = runner::obey_command_line() {
        return code;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.unwrap_or_else(|error| panic!("no runtime: {error}"));
    runtime.block_on(async {
        match runner::Order::from_environment() {
            Some(order) => order.obey().await,
            None => suite::run().await,
        }
    })
}
