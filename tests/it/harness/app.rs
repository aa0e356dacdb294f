//! The running app.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tempfile::TempDir;
use ureq::{Agent, Body, http};

use super::{PATIENCE, eventually, log::Log, program};

/// The app on a port of its own. It is killed when this is dropped.
pub struct App {
    process: Child,
    log: Option<Log>,
    address: SocketAddr,
    http: Agent,
    dir: TempDir,
}

/// A response.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
    pub headers: http::HeaderMap,
}

impl App {
    /// Starts it and waits until it listens.
    pub fn start(database_url: &str) -> Self {
        Self::start_with(database_url, &[])
    }

    /// Starts it with more arguments and waits until it listens.
    pub fn start_with(database_url: &str, args: &[&str]) -> Self {
        Self::spawn(Some(database_url), args).until_it_listens()
    }

    /// Starts it without `DATABASE_URL` in the environment.
    pub fn start_without_url(args: &[&str]) -> Self {
        Self::spawn(None, args).until_it_listens()
    }

    /// Starts several at once, and waits until all listen.
    pub fn start_many(count: usize, database_url: &str) -> Vec<Self> {
        let starting: Vec<_> = (0..count).map(|_| Self::spawn(Some(database_url), &[])).collect();
        starting.into_iter().map(Self::until_it_listens).collect()
    }

    /// Starts it with arguments that make it stop by itself. Returns the exit code and the log.
    pub fn fail_to_start(database_url: &str, args: &[&str]) -> (Option<i32>, String) {
        Self::spawn(Some(database_url), args).wait()
    }

    /// What `--help` prints.
    pub fn help(database_url: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let output = Self::command(dir.path(), Some(database_url)).arg("--help").output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8(output.stdout).unwrap()
    }

    fn command(dir: &Path, database_url: Option<&str>) -> Command {
        let mut command = program(Path::new(env!("CARGO_BIN_EXE_todo")), dir);
        command.env("LISTEN_ADDRESS", "127.0.0.1:0");
        command.envs(database_url.map(|url| ("DATABASE_URL", url)));
        command
    }

    fn spawn(database_url: Option<&str>, args: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut process = Self::command(dir.path(), database_url)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = process.stderr.take().map(Log::of);
        let http = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .build();
        Self { process, log, address: ([127, 0, 0, 1], 0).into(), http: http.into(), dir }
    }

    fn until_it_listens(mut self) -> Self {
        let line = self.log().wait_for("http://");
        let (_, address) = line.split_once("http://").unwrap();
        let address = address.trim_end_matches(|c: char| !c.is_ascii_digit());
        self.address = address.parse().unwrap();
        self
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its working directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn log(&self) -> &Log {
        self.log.as_ref().unwrap()
    }

    pub fn get(&self, path: &str) -> Answer {
        self.request("GET", path, None)
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.request("POST", path, Some(&body.to_string()))
    }

    pub fn put(&self, path: &str, body: &Value) -> Answer {
        self.request("PUT", path, Some(&body.to_string()))
    }

    pub fn delete(&self, path: &str) -> Answer {
        self.request("DELETE", path, None)
    }

    /// Sends this body as JSON, even if it is none.
    pub fn request(&self, method: &str, path: &str, body: Option<&str>) -> Answer {
        let request =
            http::Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        let response = match body {
            Some(body) => {
                let request = request.header("content-type", "application/json");
                self.http.run(request.body(body.to_owned()).unwrap())
            }
            None => self.http.run(request.body(()).unwrap()),
        };
        Answer::read(response.unwrap())
    }

    pub fn is_running(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = self.process.id().try_into().unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
    }

    /// Waits until it ends. Returns the exit code and the log.
    pub fn wait(mut self) -> (Option<i32>, String) {
        let status = eventually("the app's end", || self.process.try_wait().unwrap());
        (status.code(), self.log.take().unwrap().into_text())
    }

    /// Stops it in an orderly way. Returns its log.
    pub fn stop(self) -> String {
        self.signal(Signal::SIGTERM);
        let (code, log) = self.wait();
        assert_eq!(code, Some(0), "{log}");
        log
    }
}

impl Drop for App {
    fn drop(&mut self) {
        // This fails only if it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Answer {
    fn read(mut response: http::Response<Body>) -> Self {
        let text = response.body_mut().read_to_string().unwrap();
        let body = match text.as_str() {
            "" => Value::Null,
            text => serde_json::from_str(text).unwrap_or_else(|_| panic!("not JSON: {text}")),
        };
        Self { status: response.status().as_u16(), body, headers: response.headers().clone() }
    }

    /// Checks the status of the answer, and returns the body.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    /// Checks that it is a refusal with this status, in the one form of all refusals. Returns the
    /// message.
    #[track_caller]
    pub fn refusal(self, status: u16) -> String {
        let body = self.expect(status);
        let fields = body.as_object().unwrap();
        assert_eq!(fields.len(), 1, "{body}");
        fields["error"].as_str().unwrap().to_owned()
    }
}
