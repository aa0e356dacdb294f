//! The fault suite: real processes are killed, real servers crash, real connections are cut, and
//! after each fault the database must be at some version *n*, complete, with nothing of *n* + 1;
//! the next `up` must finish.
//!
//! | module | holds |
//! |---|---|
//! | `suite` | what runs, how often, and what is printed |
//! | `scenario` | what a scenario is, and what one round of it is handed |
//! | `tally` | what a scenario has counted; the summary table |
//! | `subject` | the migrations under fire, and what each version of them leaves |
//! | `diary` | one that takes its time, and shows if two runs of it were at work at once |
//! | `state` | what a database holds, read in one snapshot, compared with what its version promises |
//! | `place` | databases to attack: on a server that can be killed, or in a file |
//! | `runner` | this program again, as a process that applies the migrations and can be killed |
//! | `running` | a run inside this process, where its error can be looked at |
//! | `proxy` | between a run and its server; counts messages, cuts connections, falls silent |
//! | `blocker` | a transaction that an index build waits for |
//! | the others | one scenario each, or a few that differ in a detail |
//!
//! | variable | what it does |
//! |---|---|
//! | `ONEROW_FAULTS` | how many faults on each backend; without it a short run |
//! | `ONEROW_FAULT_SEED` | repeats a run's draws; without it a new seed, printed at the start and at each failure |
//! | `ONEROW_FAULT_ONLY` | the scenarios whose name contains this |
//! | `ONEROW_TEST_BACKENDS` | `sqlite` or `postgres`; without it both |

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
