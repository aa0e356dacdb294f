//! PostgreSQL sends notices beside its answers, by `RAISE NOTICE` and the like. They are printed as
//! progress.

use std::{
    fmt::{self, Debug},
    sync::Arc,
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_subscriber::{
    Layer, Registry, filter::Targets, layer::Context, layer::SubscriberExt, util::SubscriberInitExt,
};

use super::{arguments::log, commands::Printing, output::Output};

/// The target of the events by which sqlx passes them on.
const TARGET: &str = "sqlx::postgres::notice";

/// Sends the `tracing` events that `-v` or `RUST_LOG` names to stderr, and the server's notices to
/// the output.
pub(super) fn init_tracing(printing: &Printing, output: &Arc<Output>) {
    // sqlx logs a NOTICE as `INFO`, and the server's INFO and LOG as `TRACE`.
    let level = if printing.verbose == 0 { LevelFilter::INFO } else { LevelFilter::TRACE };
    let notices =
        Notices(Arc::clone(output)).with_filter(Targets::new().with_target(TARGET, level));
    // An app that has a subscriber of its own keeps it.
    let _ = Registry::default().with(notices).with(log(printing.log())).try_init();
}

struct Notices(Arc<Output>);

impl<S: Subscriber> Layer<S> for Notices {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut message = Message::default();
        event.record(&mut message);
        self.0.news(&format!("{}: {}", severity(*event.metadata().level()), message.0));
    }
}

fn severity(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error of the server",
        Level::WARN => "warning",
        Level::INFO => "notice",
        Level::DEBUG => "debug",
        Level::TRACE => "info",
    }
}

#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.0);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            let _ = fmt::write(&mut self.0, format_args!("{value:?}"));
        }
    }
}
