//! What `init` and `new` print.

use serde::Serialize;

use crate::streams::{Format, to_stdout};

/// What was done, and what to do next. Paths below the current directory are relative to it.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    pub(super) package: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) migration: Option<String>,
    pub(super) written: Vec<String>,
    pub(super) changed: Vec<String>,
    #[serde(skip)]
    pub(super) note: Option<String>,
    pub(super) next: Vec<Next>,
}

/// A command to type.
#[derive(Debug, Serialize)]
pub(super) struct Next {
    command: String,
    purpose: String,
}

impl Next {
    pub(super) fn new(command: impl Into<String>, purpose: impl Into<String>) -> Self {
        Self { command: command.into(), purpose: purpose.into() }
    }
}

impl Summary {
    pub(super) fn print(&self, format: Format) {
        let text = match format {
            Format::Json => serde_json::to_string_pretty(self).unwrap_or_default(),
            Format::Text => self.text(),
        };
        to_stdout(&text);
    }

    fn text(&self) -> String {
        let mut lines: Vec<_> = self.written.iter().map(|path| format!("wrote {path}")).collect();
        lines.extend(self.changed.iter().map(|path| format!("changed {path}")));
        lines.push(String::new());
        lines
            .push(self.note.as_ref().map_or_else(|| "next:".to_owned(), |note| format!("{note}:")));
        let width =
            self.next.iter().map(|next| next.command.chars().count()).max().unwrap_or_default();
        let next = |Next { command, purpose }: &Next| format!("  {command:width$}  # {purpose}");
        lines.extend(self.next.iter().map(next));
        lines.join("\n")
    }
}
