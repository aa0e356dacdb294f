//! A workspace's `Cargo.toml`: adds a member, and leaves every other byte as it was.

use std::path::Path;

use toml_edit::{Array, DocumentMut, Item, RawString, Table, Value};

use super::{error::ProjectError, shown::shown};

/// A manifest's text, and its path for errors.
pub(super) struct Manifest<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

impl Manifest<'_> {
    /// The text with this directory as a member of the workspace, or `None` if it is one already.
    pub(super) fn with_member(&self, dir: &str) -> Result<Option<String>, ProjectError> {
        let mut document: DocumentMut = self
            .text
            .parse()
            .map_err(|source| ProjectError::Manifest { path: shown(self.path), source })?;
        let Some(workspace) = document.get_mut("workspace") else {
            return Ok(Some(self.with_workspace(dir)));
        };
        let workspace = workspace.as_table_like_mut().ok_or_else(|| self.misshapen("workspace"))?;
        let excluded = self.strings("workspace.exclude", workspace.get("exclude"))?;
        if let Some(entry) = excluded.iter().find(|entry| Path::new(dir).starts_with(entry)) {
            return Err(ProjectError::Excluded {
                manifest: shown(self.path),
                dir: dir.to_owned(),
                entry: entry.clone(),
            });
        }
        let members = self.strings("workspace.members", workspace.get("members"))?;
        if members.iter().any(|pattern| covers(pattern, dir)) {
            return Ok(None);
        }
        let members =
            workspace.entry("members").or_insert_with(|| Item::Value(Array::new().into()));
        append(members.as_array_mut().ok_or_else(|| self.misshapen("workspace.members"))?, dir);
        Ok(Some(self.with_line_ends(&document.to_string())))
    }

    /// A package on its own becomes the root of a workspace. The new table goes to the end, so that
    /// it separates no table from its comments.
    fn with_workspace(&self, dir: &str) -> String {
        let mut workspace = Table::new();
        workspace.insert("members", Value::from(Array::from_iter([dir])).into());
        let apart = if self.text.ends_with('\n') || self.text.is_empty() { "\n" } else { "\n\n" };
        let added = format!("{apart}[workspace]\n{workspace}");
        let added = if self.text.contains("\r\n") { added.replace('\n', "\r\n") } else { added };
        format!("{}{added}", self.text)
    }

    /// Restores the file's line ends. `toml_edit` writes only `\n`, and one after the last line.
    fn with_line_ends(&self, text: &str) -> String {
        let text = if self.text.ends_with('\n') { text } else { text.trim_end_matches('\n') };
        if self.text.contains("\r\n") {
            text.replace("\r\n", "\n").replace('\n', "\r\n")
        } else {
            text.to_owned()
        }
    }

    fn strings(&self, key: &'static str, item: Option<&Item>) -> Result<Vec<String>, ProjectError> {
        let Some(item) = item else { return Ok(Vec::new()) };
        let strings = item
            .as_array()
            .map(|array| array.iter().map(|value| value.as_str().map(str::to_owned)));
        strings.and_then(Iterator::collect).ok_or_else(|| self.misshapen(key))
    }

    fn misshapen(&self, key: &'static str) -> ProjectError {
        ProjectError::ManifestShape { path: shown(self.path), key }
    }
}

/// Appends in the array's own style: on the line of the last member, or on a line of its own if
/// that one has one. A comment after the last member stays there.
fn append(members: &mut Array, dir: &str) {
    let Some(last) = members.len().checked_sub(1).and_then(|last| members.get(last)) else {
        members.push(dir);
        return;
    };
    let has_comma = members.trailing_comma();
    let before = text(last.decor().prefix());
    let behind = text(if has_comma { Some(members.trailing()) } else { last.decor().suffix() });
    let (line, rest) = behind.split_at(behind.find('\n').unwrap_or(0));
    let (prefix, rest) = match before.rfind('\n') {
        Some(indented) => (format!("{line}{}", &before[indented..]), rest),
        None if line.contains('#') => (format!("{line}\n"), rest),
        None if before.is_empty() && members.len() == 1 => (" ".to_owned(), behind.as_str()),
        None => (before, behind.as_str()),
    };
    let mut added = Value::from(dir);
    added.decor_mut().set_prefix(prefix);
    if has_comma {
        members.set_trailing(rest);
    } else {
        added.decor_mut().set_suffix(rest);
        if let Some(last) = members.iter_mut().last() {
            last.decor_mut().set_suffix("");
        }
    }
    members.push_formatted(added);
    members.set_trailing_comma(has_comma);
}

fn text(raw: Option<&RawString>) -> String {
    raw.and_then(RawString::as_str).unwrap_or_default().to_owned()
}

/// Whether a member, which may be a pattern, is this directory.
fn covers(pattern: &str, dir: &str) -> bool {
    let parts = |path: &str| -> Vec<String> {
        path.split('/').filter(|part| !matches!(*part, "" | ".")).map(str::to_owned).collect()
    };
    let (pattern, dir) = (parts(pattern), parts(dir));
    pattern.len() == dir.len()
        && pattern.iter().zip(&dir).all(|(pattern, part)| matches(pattern, part))
}

/// `*` is any text and `?` any character. Other wildcards are not understood here; then the member
/// is also named by itself, which cargo accepts.
fn matches(pattern: &str, text: &str) -> bool {
    let mut rest = pattern.chars();
    match rest.next() {
        None => text.is_empty(),
        Some('*') => {
            let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            ends.into_iter().any(|at| matches(rest.as_str(), &text[at..]))
        }
        Some(first) => {
            let mut text = text.chars();
            text.next().is_some_and(|next| first == '?' || first == next)
                && matches(rest.as_str(), text.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_member(text: &str, dir: &str) -> Result<Option<String>, ProjectError> {
        Manifest { path: Path::new("Cargo.toml"), text }.with_member(dir)
    }

    #[test]
    fn a_member_is_appended_in_the_style_of_the_list() {
        let cases = [
            ("[workspace]\nmembers = []\n", "[workspace]\nmembers = [\"migration\"]\n"),
            ("[workspace]\nmembers = [\"a\"]\n", "[workspace]\nmembers = [\"a\", \"migration\"]\n"),
            (
                "[workspace]\nmembers = [\"a\", ]\n",
                "[workspace]\nmembers = [\"a\", \"migration\", ]\n",
            ),
            (
                "[workspace]\nmembers = [\"a\",\"b\"]",
                "[workspace]\nmembers = [\"a\",\"b\",\"migration\"]",
            ),
            (
                "[workspace]\nmembers = [ \"a\" ]\n",
                "[workspace]\nmembers = [ \"a\", \"migration\" ]\n",
            ),
            (
                "[workspace]\nmembers = [\n  \"a\", # the app\n  \"b\", # and more\n]\n",
                "[workspace]\nmembers = [\n  \"a\", # the app\n  \"b\", # and more\n  \"migration\",\n]\n",
            ),
            (
                "[workspace]\nmembers = [\n    # the app\n    \"a\"\n]\n",
                "[workspace]\nmembers = [\n    # the app\n    \"a\",\n    \"migration\"\n]\n",
            ),
            (
                "[workspace]\nmembers = [\n    \"a\" # the app\n]\n",
                "[workspace]\nmembers = [\n    \"a\", # the app\n    \"migration\"\n]\n",
            ),
            (
                "[workspace]\r\nmembers = [\r\n    \"a\",\r\n]\r\n",
                "[workspace]\r\nmembers = [\r\n    \"a\",\r\n    \"migration\",\r\n]\r\n",
            ),
            (
                "# here\nworkspace.members = ['a'] # there\n\n\n[package] # and\nname = \"a\"\n",
                "# here\nworkspace.members = ['a', \"migration\"] # there\n\n\n[package] # and\nname = \"a\"\n",
            ),
            (
                "workspace = { members = [\"a\"] }\n",
                "workspace = { members = [\"a\", \"migration\"] }\n",
            ),
            (
                "[workspace]\nresolver = \"3\" # why\n\n[profile.dev]\ndebug = 1\n",
                "[workspace]\nresolver = \"3\" # why\nmembers = [\"migration\"]\n\n[profile.dev]\ndebug = 1\n",
            ),
        ];
        for (before, after) in cases {
            assert_eq!(with_member(before, "migration").unwrap().as_deref(), Some(after));
        }
    }

    #[test]
    fn a_package_becomes_the_root_of_a_workspace() {
        let workspace = "[workspace]\nmembers = [\"migration\"]\n";
        let cases = [
            ("[package]\nname = \"a\"\n", "[package]\nname = \"a\"\n\n"),
            ("[package]\nname = \"a\" # end", "[package]\nname = \"a\" # end\n\n"),
            (
                "[package]\n\n[dependencies]\n# none yet\n",
                "[package]\n\n[dependencies]\n# none yet\n\n",
            ),
        ];
        for (before, begins) in cases {
            let after = with_member(before, "migration").unwrap().unwrap();
            assert_eq!(after, format!("{begins}{workspace}"));
        }
        let windows = with_member("[package]\r\n", "migration").unwrap().unwrap();
        assert_eq!(windows, "[package]\r\n\r\n[workspace]\r\nmembers = [\"migration\"]\r\n");
    }

    #[test]
    fn a_member_that_a_pattern_covers_is_not_added() {
        for (pattern, dir) in [
            ("migration", "migration"),
            ("./migration/", "migration"),
            ("*", "migration"),
            ("crates/*", "crates/migration"),
            ("crates/m*n", "crates/migration"),
            ("*/migratio?", "crates/migration"),
        ] {
            let text = format!("[workspace]\nmembers = [\"{pattern}\"]\n");
            assert_eq!(with_member(&text, dir).unwrap(), None, "{pattern}");
        }
        for (pattern, dir) in [
            ("crates/*", "migration"),
            ("*", "crates/migration"),
            ("m?", "migration"),
            ("migration/*", "migration"),
        ] {
            let text = format!("[workspace]\nmembers = [\"{pattern}\"]\n");
            assert!(with_member(&text, dir).unwrap().is_some(), "{pattern}");
        }
    }

    #[test]
    fn an_excluded_directory_is_refused_with_the_entry_that_excludes_it() {
        for (entry, dir) in [
            ("migration", "migration"),
            ("tools", "tools/migration"),
            ("./tools", "./tools/migration"),
        ] {
            let text = format!("[workspace]\nmembers = []\nexclude = [\"other\", \"{entry}\"]\n");
            let error = with_member(&text, dir).unwrap_err();
            assert!(
                matches!(&error, ProjectError::Excluded { entry: found, .. } if found == entry),
                "{error}"
            );
        }
        assert!(
            with_member("[workspace]\nexclude = [\"migration2\", \"mig\"]\n", "migration")
                .unwrap()
                .is_some()
        );
    }

    #[test]
    fn what_is_no_manifest_is_refused() {
        assert!(matches!(with_member("[workspace\n", "m"), Err(ProjectError::Manifest { .. })));
        for text in
            ["workspace = 1\n", "[workspace]\nmembers = \"a\"\n", "[workspace]\nexclude = [1]\n"]
        {
            assert!(
                matches!(with_member(text, "m"), Err(ProjectError::ManifestShape { .. })),
                "{text}"
            );
        }
    }
}
