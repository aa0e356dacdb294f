//! Results on stdout, progress and errors on stderr.

use std::{
    fmt::Display,
    io::{self, IsTerminal},
    path::Path,
    process::ExitCode,
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use anstyle::{AnsiColor, Style};
use comfy_table::{ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::{
    command_error::CommandError,
    commands::Printing,
    document,
    next_step::next_step,
    streams::{ERROR, Format, to_stderr, to_stdout},
};
use onerow::{
    Adoption, Error, MigrationStatus, Progress, Report, Status, databases::Location, module_name,
};

/// How many migrations `status` lists: the last of the applied ones, and the first of the pending
/// ones.
const APPLIED_SHOWN: usize = 5;
const PENDING_SHOWN: usize = 20;

const WAITING: &str = "{spinner} {wide_msg}";
/// The message has a line of its own: naming the blocker of a migration takes most of 80 columns.
const APPLYING: &str = "{spinner} {wide_msg}\n  [{bar:40}] {pos}/{len}, {elapsed}";

const WARNING: Style = AnsiColor::Yellow.on_default().bold();

pub(super) struct Output {
    format: Format,
    quiet: bool,
    /// It draws on a terminal only, from the first step of a run on.
    bar: OnceLock<ProgressBar>,
    reached: Mutex<Reached>,
}

/// How far a run has come, for the message when a signal ends it.
#[derive(Debug, Clone, Default)]
struct Reached {
    running: Option<i32>,
    /// The first and the last migration that were reported as applied.
    applied: Option<(i32, i32)>,
}

impl Reached {
    fn note(&mut self, step: &Progress) {
        match step {
            Progress::Started { version, .. } => self.running = Some(*version),
            Progress::Applied(applied) => {
                let version = applied.version;
                self.running = self.running.filter(|running| *running > version);
                self.applied = Some((self.applied.map_or(version, |(first, _)| first), version));
            }
            _ => (),
        }
    }
}

impl Printing {
    /// The filter of the log if `RUST_LOG` is not set.
    pub(super) fn log(&self) -> &'static str {
        match self.verbose {
            // Progress and errors already show what onerow and the driver would log.
            0 => "error,onerow=off,sqlx=off",
            1 => "warn,onerow=debug,sqlx=off",
            // The server's notices are printed as progress.
            _ => "info,onerow=trace,sqlx=debug,sqlx::postgres::notice=off",
        }
    }
}

impl Output {
    pub(super) fn new(printing: &Printing) -> Self {
        let (format, quiet) = (printing.format, printing.quiet);
        Self { format, quiet, bar: OnceLock::new(), reached: Mutex::default() }
    }

    fn bar(&self) -> &ProgressBar {
        self.bar.get_or_init(|| {
            // With JSON, stderr is for the object of a failure alone.
            let target = if self.quiet || self.format == Format::Json {
                ProgressDrawTarget::hidden()
            } else {
                ProgressDrawTarget::stderr()
            };
            let bar = ProgressBar::with_draw_target(Some(0), target).with_style(style(WAITING));
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        })
    }

    /// Prints a line above the bar, if there is one.
    fn above<T>(&self, print: impl FnOnce() -> T) -> T {
        match self.bar.get() {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    pub(super) fn progress(&self, step: &Progress) {
        self.reached.lock().unwrap_or_else(PoisonError::into_inner).note(step);
        match step {
            Progress::Started { version, target, .. } => {
                let bar = self.bar();
                bar.set_style(style(APPLYING));
                bar.set_length(u64::try_from(target + 1).unwrap_or(0));
                bar.set_position(u64::try_from(*version).unwrap_or(0));
                bar.set_message(step.to_string());
            }
            // This goes to stdout at once, because it stays committed even if a later one fails.
            Progress::Applied(_) => {
                self.bar().inc(1);
                self.text(step);
            }
            Progress::Running { .. } | Progress::Waiting { .. } if !self.bar().is_hidden() => {
                self.bar().set_message(step.to_string());
            }
            _ if step.is_news() => self.news(step),
            _ => (),
        }
    }

    /// Prints something that is going on, for people who watch.
    pub(super) fn news(&self, line: &dyn Display) {
        if !self.quiet && self.format == Format::Text {
            self.above(|| to_stderr(line));
        }
    }

    /// Names the database before anything is done to it.
    pub(super) fn on(&self, location: &Location) {
        let user = location.user.iter().map(|user| format!(" as {user}"));
        self.news(&format!("database: {location}{}", user.collect::<String>()));
    }

    fn reached(&self) -> Reached {
        self.reached.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The first signal has come.
    pub(super) fn stopping(&self) {
        let until = self
            .reached()
            .running
            .map(|version| format!(" as soon as {} lets go", module_name(version)));
        let until = until.unwrap_or_default();
        self.news(&format!("stopping{until}; press Ctrl-C again to end the process at once"));
    }

    /// The second signal has come.
    pub(super) fn ended_at_once(&self, exit_code: u8) {
        let Reached { running, applied } = self.reached();
        self.finish();
        print_failure(self.format, &CommandError::EndedAtOnce { running, applied, exit_code });
    }

    /// With JSON, warnings are a part of the result.
    fn warning(&self, warning: &dyn Display) {
        if self.format == Format::Text {
            self.above(|| to_stderr(&format!("{WARNING}warning:{WARNING:#} {warning}")));
        }
    }

    pub(super) fn finish(&self) {
        self.bar.get().inspect(|bar| bar.finish_and_clear());
    }

    pub(super) fn report(&self, report: &Report, latest: i32) {
        self.json(&document::Run::of(report, latest));
        let Report { initial, version, applied, .. } = report;
        let done = if applied.is_empty() {
            format!("nothing to do: the database is at version {version}")
        } else {
            format!("from version {initial} to version {version}")
        };
        match latest - version {
            0 => self.text(&done),
            _ => self.text(&format!("{done}; {}", pending(*version, latest))),
        }
    }

    pub(super) fn status(&self, status: &Status, all: bool) {
        self.json(&document::Standing::with_migrations(status));
        if self.format == Format::Text {
            self.text(&listed(status, all));
            self.text(&summary(status));
        }
    }

    pub(super) fn checked(&self, status: &Status) {
        self.json(&document::Standing::of(status));
        self.text(&summary(status));
    }

    pub(super) fn version(&self, version: i32) {
        self.json(&document::Version { version });
        self.text(&version);
    }

    pub(super) fn adopted(&self, adoption: &Adoption, latest: i32, dry_run: bool) {
        self.json(&document::TakenOver::of(adoption, latest, dry_run));
        if dry_run && !adoption.adopted.is_empty() {
            self.text(&replaced(adoption));
        }
        self.text(&taken_over(adoption, latest, dry_run));
        adoption.warnings.iter().for_each(|warning| self.warning(warning));
    }

    pub(super) fn answered(&self, location: &Location, waited: Duration) {
        let waited_seconds = document::seconds(waited);
        self.json(&document::Answered { database: location.to_string(), waited_seconds });
        let server = location.server.as_ref().unwrap_or(&location.database);
        self.text(&format!("{server} answers"));
    }

    pub(super) fn created(&self, location: &Location, created: bool) {
        self.json(&document::Created { database: location.to_string(), created });
        self.text(&format!(
            "{} {location}",
            if created { "created the database" } else { "there is already a database" }
        ));
    }

    pub(super) fn dropped(&self, location: &Location, dropped: bool) {
        self.json(&document::Dropped { database: location.to_string(), dropped });
        self.text(&format!(
            "{} {location}",
            if dropped { "dropped the database" } else { "there is no database" }
        ));
    }

    pub(super) fn written(&self, dir: &Path) {
        self.json(&document::Written { directory: dir.display().to_string() });
        self.text(&format!("wrote the manual pages to {}", dir.display()));
    }

    fn text(&self, line: &dyn Display) {
        if self.format == Format::Text {
            self.above(|| to_stdout(line));
        }
    }

    fn json(&self, value: &impl Serialize) {
        if self.format == Format::Json {
            self.above(|| to_stdout(&json(value)));
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// The migrations as a table: all, or those around the version.
fn listed(status: &Status, all: bool) -> String {
    let (applied, pending): (Vec<_>, Vec<_>) =
        status.migrations.iter().partition(|found| found.applied);
    let (shown, hidden) = (APPLIED_SHOWN, PENDING_SHOWN);
    let earlier = if all { 0 } else { applied.len().saturating_sub(shown) };
    let later = if all { 0 } else { pending.len().saturating_sub(hidden) };
    let rows = applied[earlier..].iter().chain(&pending[..pending.len() - later]);

    let mut table = table(["migration", "state", "description"]);
    if earlier > 0 {
        table.add_row([
            "…".into(),
            "applied".into(),
            format!("{earlier} earlier ones: --all lists them"),
        ]);
    }
    for found in rows {
        table.add_row(row(found));
    }
    if later > 0 {
        table.add_row([
            "…".into(),
            "pending".into(),
            format!("{later} later ones: --all lists them"),
        ]);
    }
    table.trim_fmt()
}

fn table(header: [&str; 3]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    if let Some(width) = width() {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    table
}

/// The migrations that count as applied, as a table.
fn replaced(adoption: &Adoption) -> String {
    let mut table = table(["migration", "replaces", "description"]);
    for adopted in &adoption.adopted {
        table.add_row([adopted.name(), adopted.replaces.join("\n"), adopted.description.clone()]);
    }
    table.trim_fmt()
}

fn taken_over(adoption: &Adoption, latest: i32, dry_run: bool) -> String {
    let Adoption { version, tool, .. } = adoption;
    if adoption.adopted.is_empty() {
        return format!("nothing to do: the database is at version {version}");
    }
    let from =
        tool.iter().map(|(tool, table)| format!(" from {tool}, according to its table {table}"));
    let from: String = from.collect();
    let (done, is) =
        if dry_run { ("would be taken over", "would be") } else { ("taken over", "is") };
    let pending = match latest - version {
        0 => "nothing pending".to_owned(),
        _ => pending(*version, latest),
    };
    format!("{done}{from}: the database {is} at version {version}; {pending}")
}

fn pending(version: i32, latest: i32) -> String {
    format!("{} pending, the next is {}", latest - version, module_name(version + 1))
}

fn row(found: &MigrationStatus) -> [String; 3] {
    let state = if found.applied { "applied" } else { "pending" };
    [found.name(), state.into(), found.description.clone()]
}

/// The width of the terminal; `None` if the output goes elsewhere, where lines may have any length.
fn width() -> Option<u16> {
    let (terminal_size::Width(width), _) = terminal_size::terminal_size_of(io::stdout())?;
    io::stdout().is_terminal().then_some(width)
}

fn summary(status: &Status) -> String {
    let Status { version, latest, .. } = status;
    if status.is_ahead() {
        format!(
            "the database is at version {version}, ahead of this build, whose last migration is \
             {latest}"
        )
    } else if status.is_pending() {
        format!("the database is at version {version}; {}", pending(*version, *latest))
    } else {
        format!("the database is at version {version}, up to date")
    }
}

/// Prints why a command ended without being done.
pub(super) fn print_failure(format: Format, error: &CommandError) {
    match (format, error) {
        // The result has said it.
        (_, CommandError::NotCurrent(_)) => (),
        (Format::Json, _) => to_stderr(&json(&document::Failed::from(error))),
        (Format::Text, _) => print(&error.to_string(), &error.causes(), &error.next_step()),
    }
}

/// Prints an error with its causes and the next step to stderr.
pub fn print_error(error: &Error) {
    print(&error.to_string(), &error.causes(), &next_step(error));
}

pub(super) fn failed(message: &str) -> ExitCode {
    print(message, &[], "");
    ExitCode::FAILURE
}

/// The causes, each on a line of its own; its further lines are indented.
fn caused_by(causes: &[String]) -> String {
    let indented = causes.iter().map(|cause| cause.replace('\n', "\n    "));
    indented.flat_map(|cause| ["\n  caused by: ".to_owned(), cause]).collect()
}

/// As [`Error::explain`], with the next step, and with the first word in colour on a terminal.
fn print(message: &str, causes: &[String], next_step: &str) {
    let mut text = format!("{ERROR}error:{ERROR:#} {message}{}", caused_by(causes));
    if !next_step.is_empty() {
        text.push_str("\n  ");
        text.push_str(next_step);
    }
    to_stderr(&text);
}

#[cfg(test)]
mod tests {
    use onerow::prelude::*;

    use super::*;

    struct Step(String);

    #[async_trait]
    impl MigrationTrait for Step {
        fn description(&self) -> &str {
            &self.0
        }

        async fn migrate(&self, _: &Database) -> Result<(), DbErr> {
            Ok(())
        }
    }

    fn status(count: i32, version: i32) -> Status {
        let step = |number| Box::new(Step(format!("step {number}"))) as Box<dyn MigrationTrait>;
        let registry = Registry::new((0..count).map(step).collect());
        let status = async {
            let db = Database::connect("sqlite::memory:").await?;
            registry.up(&db).to(version).await?;
            registry.status(&db).await
        };
        tokio::runtime::Runtime::new().unwrap().block_on(status).unwrap()
    }

    #[test]
    fn a_thousand_migrations_fit_a_screen() {
        let lines = listed(&status(1000, 960), false);

        let lines: Vec<_> = lines
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(lines.len(), 1 + 1 + 5 + 20 + 1);
        assert_eq!(lines[1], "… applied 956 earlier ones: --all lists them");
        assert_eq!((&*lines[2], &*lines[6]), ("m0956 applied step 956", "m0960 applied step 960"));
        assert_eq!((&*lines[7], &*lines[26]), ("m0961 pending step 961", "m0980 pending step 980"));
        assert_eq!(lines[27], "… pending 19 later ones: --all lists them");
    }

    #[test]
    fn all_lists_all() {
        assert_eq!(listed(&status(1000, 960), true).lines().count(), 1001);
        assert_eq!(listed(&status(25, 4), false).lines().count(), 26);
    }
}
