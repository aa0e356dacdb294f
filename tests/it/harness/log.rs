//! The standard error of a running program.

use std::{
    io::{BufRead, BufReader, Read},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
};

use super::eventually;

/// Collects the lines of a program while it writes them.
pub struct Log {
    text: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
}

impl Log {
    pub fn of(stderr: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let written = Arc::clone(&text);
        let reader = thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut written = written.lock().unwrap();
                written.push_str(&line);
                written.push('\n');
            }
        });
        Self { text, reader }
    }

    /// The first line with `needle` in it.
    pub fn wait_for(&self, needle: &str) -> String {
        eventually(&format!("`{needle}` in the log"), || {
            // This comes first, so that a last line is not missed.
            let ended = self.reader.is_finished();
            let text = self.text();
            let found = text.lines().find(|line| line.contains(needle)).map(str::to_owned);
            assert!(found.is_some() || !ended, "the program ended without `{needle}`:\n{text}");
            found
        })
    }

    pub fn text(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    /// The whole text, when the program has ended.
    pub fn into_text(self) -> String {
        self.reader.join().unwrap();
        let text = self.text.lock().unwrap();
        text.clone()
    }
}
