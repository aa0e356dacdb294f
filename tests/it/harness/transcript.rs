//! Follows a page of documentation: writes its files, runs its commands, and compares what they
//! print with what the page shows.
//!
//! A `rust` or `toml` block is a file; the comment in its first line names it. A `console` block
//! holds commands, each after `$ `, and below each what it prints. `…` in that stands for any text.
//! Nobody types in a block in `text`, `json`, `sh` or `rust,quoted`.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

const END: &str = "<end of output, exit code";

/// A shell that goes through a page.
pub struct Reader {
    shell: Child,
    output: BufReader<ChildStdout>,
    /// Pairs of a text on the page and the text that replaces it here.
    meaning: Vec<(String, String)>,
    /// The shell's working directory.
    dir: PathBuf,
}

impl Reader {
    /// A shell in this directory, with these variables.
    pub fn new(dir: &Path, variables: &[(&str, &str)]) -> Self {
        let mut shell = Command::new("bash")
            .current_dir(dir)
            .envs(variables.iter().copied())
            // `cargo test` sets them for us. A reader does not have them.
            .env_remove("CARGO_MANIFEST_DIR")
            .env_remove("DATABASE_URL")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(shell.stdout.take().unwrap());
        Self { shell, output, meaning: Vec::new(), dir: dir.to_owned() }
    }

    /// Replaces a text of the page in commands, and puts the page's text back into what they
    /// print.
    pub fn meaning(mut self, page: &str, here: &str) -> Self {
        self.meaning.push((page.to_owned(), here.to_owned()));
        self
    }

    /// Does what the page says, in order.
    pub fn follow(&mut self, page: &str) {
        // Every second piece between fences is code.
        for fenced in page.split("\n```").skip(1).step_by(2) {
            let (language, text) = fenced.split_once('\n').unwrap();
            match language {
                "rust" => self.write(text, "// "),
                "toml" => self.write(text, "# "),
                "console" => self.type_off(text),
                "text" | "json" | "sh" | "rust,quoted" => (),
                other => panic!("a block in {other:?}, which nobody runs:\n{text}"),
            }
        }
    }

    fn write(&self, text: &str, comment: &str) {
        let first = text.lines().next().unwrap();
        let path = first.strip_prefix(comment).unwrap_or_else(|| panic!("no file name: {first}"));
        let path = self.dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn type_off(&mut self, block: &str) {
        // An entry is a command, and below it what it prints.
        for entry in format!("\n{block}").split("\n$ ").skip(1) {
            let (command, expected) = entry.split_once('\n').unwrap_or((entry, ""));
            let (printed, code) = self.run(command);
            // The page marks a command that is to fail.
            let as_told = (code == 0) != command.ends_with("# red");
            assert!(
                as_told && matches(&printed, expected.trim_end()),
                "$ {command}\n--- the page shows\n{expected}\n--- it printed, with exit code \
                 {code}\n{printed}"
            );
        }
    }

    /// Runs a command; returns what it printed, in the page's words, and its exit code.
    pub fn run(&mut self, command: &str) -> (String, i32) {
        let command = self
            .meaning
            .iter()
            .fold(command.to_owned(), |text, (page, here)| text.replace(page, here));
        let shell = self.shell.stdin.as_mut().unwrap();
        // The shell's standard input is the script itself, so no command may read it.
        writeln!(
            shell,
            "{{ {command}\n}} 2>&1 </dev/null; code=$?; echo; echo \"{END} $code>$PWD\""
        )
        .unwrap();
        let mut printed = String::new();
        let last = loop {
            let mut line = String::new();
            assert!(
                self.output.read_line(&mut line).unwrap() > 0,
                "the shell ended at: {command}\n{printed}"
            );
            if line.starts_with(END) {
                break line;
            }
            printed.push_str(&line);
        };
        let (code, dir) = last.trim_end()[END.len()..].trim_start().split_once('>').unwrap();
        self.dir = dir.into();
        let printed =
            self.meaning.iter().fold(printed, |text, (page, here)| text.replace(here, page));
        (printed.trim_end().to_owned(), code.parse().unwrap())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

/// Whether the text matches the pattern, in which `…` stands for any text.
fn matches(text: &str, pattern: &str) -> bool {
    let mut pieces = pattern.split('…');
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let pieces: Vec<_> = pieces.collect();
    let Some((last, between)) = pieces.split_last() else { return rest.is_empty() };
    for piece in between {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

#[test]
fn an_ellipsis_stands_for_anything() {
    let text = "applied m0000 in 3ms\nfrom version -1 to version 0";
    assert!(matches(text, "applied m0000 in …\nfrom version -1 to version 0"));
    assert!(matches(text, "…from version -1…"));
    assert!(!matches(text, "applied m0001 in …"));
    assert!(!matches(text, "applied m0000 in …\nfrom version -1"));
}
