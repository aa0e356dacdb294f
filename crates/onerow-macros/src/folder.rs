//! Reading a folder of migrations, and finding all that is wrong with it.

use std::{
    collections::BTreeSet,
    fs::{self, DirEntry},
    io,
    path::Path,
};

use onerow_sql::psql;

use crate::{
    down, metadata,
    naming::{self, Direction, Script, Tool},
};

/// A migration to embed.
#[derive(Debug, PartialEq, Eq)]
pub struct Migration {
    pub name: String,
    pub description: String,
    /// The full path of the up script.
    pub path: String,
    /// The path that messages show: it begins as the caller of the macro wrote it.
    pub shown: String,
    pub transactional: bool,
    /// The full path of its `metadata.toml`, if there is one.
    pub metadata: Option<String>,
}

/// The migrations in the folder at `root`, in the order of their tool, or all that is wrong with
/// the folder.
///
/// `shown` is the folder as the caller of the macro wrote it. Errors show it instead of `root`. The
/// files and subfolders in `except` are left out.
pub fn read(root: &Path, shown: &str, except: &[String]) -> Result<Vec<Migration>, Vec<String>> {
    let mut folder = Folder {
        root,
        shown: Path::new(shown),
        files: BTreeSet::new(),
        subfolders: Vec::new(),
        problems: Vec::new(),
    };
    folder.list_root();
    folder.leave_out(except);
    let scripts = folder.scripts();
    let migrations = folder.migrations(scripts);
    if folder.problems.is_empty() { Ok(migrations) } else { Err(folder.problems) }
}

/// A folder while it is read. Paths are relative to it, with `/`.
struct Folder<'a> {
    root: &'a Path,
    shown: &'a Path,
    /// All files in it, sorted, so that the same folder always has the same errors.
    files: BTreeSet<String>,
    /// The folders directly in it.
    subfolders: Vec<String>,
    problems: Vec<String>,
}

impl Folder<'_> {
    fn list_root(&mut self) {
        if let Err(error) = self.list("") {
            let (shown, root) = (self.shown.display(), self.root.display());
            self.problems.push(format!(
                "cannot read the folder `{shown}`, which is {root}: {error}; a path is relative to \
                 the folder of the crate's Cargo.toml"
            ));
        }
    }

    fn list(&mut self, folder: &str) -> io::Result<()> {
        for entry in fs::read_dir(self.root.join(folder))? {
            let entry = entry?;
            if !entry.file_name().as_encoded_bytes().starts_with(b".") {
                self.list_entry(folder, &entry)?;
            }
        }
        Ok(())
    }

    fn list_entry(&mut self, folder: &str, entry: &DirEntry) -> io::Result<()> {
        let name = entry.file_name();
        let path = if folder.is_empty() { String::new() } else { format!("{folder}/") }
            + &name.to_string_lossy();
        let kind = entry.file_type()?;
        if name.to_str().is_none() {
            self.problem(&path, "has a name that is not UTF-8: rename it");
        } else if kind.is_dir() {
            self.list_subfolder(folder, path);
        } else if kind.is_symlink() && entry.path().is_dir() {
            // It may lead around in a circle, and the tools do not agree on whether to follow it.
            self.problem(
                &path,
                "is a link to a folder, which is not followed: put the folder itself there",
            );
        } else {
            self.files.insert(path);
        }
        Ok(())
    }

    fn list_subfolder(&mut self, parent: &str, path: String) {
        if let Err(error) = self.list(&path) {
            self.problem(&path, &format!("cannot be read: {error}"));
        }
        if parent.is_empty() {
            self.subfolders.push(path);
        }
    }

    fn leave_out(&mut self, except: &[String]) {
        for name in except {
            let within = format!("{name}/");
            let before = self.files.len() + self.subfolders.len();
            self.files.retain(|path| path != name && !path.starts_with(&within));
            self.subfolders.retain(|path| path != name);
            if self.files.len() + self.subfolders.len() == before {
                self.problem(name, "is not there to be left out: remove it from `except`");
            }
        }
    }

    fn scripts(&mut self) -> Vec<(String, Script)> {
        let mut scripts = Vec::new();
        for path in self.files.clone() {
            match naming::script(&path) {
                Ok(Some(script)) => scripts.push((path, script)),
                Ok(None) => {}
                Err(problem) => self.problem(&path, problem),
            }
        }
        scripts
    }

    fn migrations(&mut self, mut scripts: Vec<(String, Script)>) -> Vec<Migration> {
        let Some(tool) = self.tool(&scripts) else { return Vec::new() };
        self.find_missing_ups(tool, &scripts);
        scripts.retain(|(_, script)| script.direction == Direction::Up);
        scripts.sort_by(|(_, one), (_, other)| one.version.cmp(&other.version));
        self.find_duplicates(&scripts);
        scripts.into_iter().filter_map(|(path, script)| self.migration(&path, script)).collect()
    }

    /// The one tool that all scripts were written for.
    fn tool(&mut self, scripts: &[(String, Script)]) -> Option<Tool> {
        let Some((path, first)) = scripts.first() else {
            self.find_nothing();
            return None;
        };
        let Some((other_path, other)) =
            scripts.iter().find(|(_, script)| script.tool != first.tool)
        else {
            return Some(first.tool);
        };
        self.problem(
            path,
            &format!(
                "is named like a migration of {}, and {} like one of {}: keep the migrations of \
                 one tool in a folder of their own, and embed that",
                first.tool.name(),
                self.shown(other_path),
                other.tool.name()
            ),
        );
        None
    }

    fn find_nothing(&mut self) {
        if self.problems.is_empty() {
            let (shown, root) = (self.shown.display(), self.root.display());
            self.problems.push(format!(
                "there is no migration in the folder `{shown}`, which is {root}: it needs files of \
                 sqlx (`1_name.sql`), refinery (`V1__name.sql`) or diesel (`1_name/up.sql`)"
            ));
        }
    }

    fn find_missing_ups(&mut self, tool: Tool, scripts: &[(String, Script)]) {
        match tool {
            Tool::Sqlx => self.find_downs_alone(scripts),
            Tool::Refinery => {}
            Tool::Diesel => self.find_subfolders_without_up(),
        }
    }

    /// sqlx takes two scripts for a pair if their versions are the same, whatever their
    /// descriptions are.
    fn find_downs_alone(&mut self, scripts: &[(String, Script)]) {
        for (path, down) in scripts.iter().filter(|(_, script)| script.direction == Direction::Down)
        {
            let is_pair = |(path, up): &(String, Script)| {
                path.ends_with(".up.sql") && up.version == down.version
            };
            if !scripts.iter().any(is_pair) {
                let up = self.shown(&format!("{}.up.sql", down.name));
                self.problem(
                    path,
                    &format!("has no up script: add {up}, or remove the down script"),
                );
            }
        }
    }

    fn find_subfolders_without_up(&mut self) {
        self.subfolders.sort();
        for folder in self.subfolders.clone() {
            if !self.files.contains(&format!("{folder}/up.sql")) {
                self.problem(&folder, "has no `up.sql`: add it, or move the folder elsewhere");
            }
        }
    }

    fn find_duplicates(&mut self, sorted: &[(String, Script)]) {
        for pair in sorted.windows(2) {
            let [(path, script), (other_path, other)] = pair else { continue };
            if script.version == other.version {
                let other = self.shown(other_path);
                let way_out = same_version(&script.name);
                self.problem(path, &format!("has the same version as {other}: {way_out}"));
            }
        }
    }

    fn migration(&mut self, path: &str, script: Script) -> Option<Migration> {
        let sql = self.text(path)?;
        self.find_what_is_not_for_the_server(path, &sql);
        let metadata = format!("{}/metadata.toml", script.name);
        let metadata =
            (script.tool == Tool::Diesel && self.files.contains(&metadata)).then_some(metadata);
        let transactional = match (script.tool, &metadata) {
            (Tool::Sqlx, _) => !sql.starts_with("-- no-transaction"),
            (Tool::Diesel, Some(metadata)) => self.run_in_transaction(metadata)?,
            (Tool::Diesel, None) | (Tool::Refinery, _) => true,
        };
        Some(Migration {
            name: script.name,
            description: script.description,
            path: self.full(path),
            shown: self.shown.join(path).display().to_string(),
            transactional,
            metadata: metadata.map(|metadata| self.full(&metadata)),
        })
    }

    fn find_what_is_not_for_the_server(&mut self, path: &str, sql: &str) {
        if let Some(down::Down { tool, line, marker }) = down::part(sql) {
            self.problem(
                path,
                &format!(
                    "goes down again from line {line} on, where `{marker}` begins the part with \
                     which {tool} undoes it: move that part out of the file, since onerow runs all \
                     of a file, and only goes forward"
                ),
            );
        } else if let Err(psql::ForPsql { line, what }) = psql::for_the_server(sql) {
            self.problem(path, &format!("cannot be run as it is, because of line {line}: {what}"));
        }
    }

    fn run_in_transaction(&mut self, metadata: &str) -> Option<bool> {
        let text = self.text(metadata)?;
        let read = metadata::run_in_transaction(&text);
        read.map_err(|problem| self.problem(metadata, &problem)).ok()
    }

    /// The text of a file, without a byte order mark.
    ///
    /// After such a mark, sqlx does not see its `-- no-transaction`. On PostgreSQL such a script
    /// has never run, since the server takes the mark for a part of the first word. SQLite ignores
    /// the mark, so there sqlx ran the script in a transaction, against what its author wrote.
    /// diesel's TOML ignores it too.
    fn text(&mut self, path: &str) -> Option<String> {
        match fs::read_to_string(self.root.join(path)) {
            Ok(text) => Some(text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                self.problem(path, "is not UTF-8: save it as UTF-8");
                None
            }
            Err(error) => {
                self.problem(path, &format!("cannot be read: {error}"));
                None
            }
        }
    }

    fn problem(&mut self, path: &str, what: &str) {
        self.problems.push(format!("{} {what}", self.shown(path)));
    }

    fn shown(&self, path: &str) -> String {
        format!("`{}`", self.shown.join(path).display())
    }

    /// `display` loses nothing: the root comes from a literal and a variable, which are UTF-8.
    fn full(&self, path: &str) -> String {
        self.root.join(path).display().to_string()
    }
}

/// What to do about two scripts of one version. Flyway undoes `V1__a.sql` with `U1__a.sql`, but for
/// refinery both are up scripts.
fn same_version(name: &str) -> &'static str {
    if name.starts_with('U') {
        "if it undoes that one, as with Flyway, move it out of the folder; or else give it another \
         number"
    } else {
        "keep one of them, or give it another number"
    }
}

// They make names and links that only Unix has.
#[cfg(all(test, unix))]
mod tests;
