//! A PostgreSQL server that lives as long as the process that asked for it.

use std::{
    error::Error,
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{
    installed,
    shared::Address,
    supervisor::{Supervisor, quoted},
};

/// The settings of every server, before those that its test asks for.
pub(super) const SETTINGS: &[(&str, &str)] = &[
    ("listen_addresses", "127.0.0.1"),
    // Each of many tests has two pools at once.
    ("max_connections", "300"),
    // The data survives a killed server without these. It would not survive a machine that loses
    // power, but nothing here has to.
    ("fsync", "off"),
    ("full_page_writes", "off"),
    // The files go with the server's others; otherwise a killed server leaves them in /dev/shm.
    ("dynamic_shared_memory_type", "mmap"),
];

/// Without replication there is less to write. A test that wants a standby asks for `wal_level`.
const NO_REPLICATION: &[(&str, &str)] = &[("wal_level", "minimal"), ("max_wal_senders", "0")];

/// UTF-8 that knows upper and lower case beyond ASCII, as real servers do.
const LOCALE: &str = if cfg!(target_os = "linux") { "C.UTF-8" } else { "en_US.UTF-8" };

/// Another process can take a port after we find it free and before PostgreSQL binds it.
const PORTS_TRIED: u32 = 5;

/// If the postmaster was killed, its processes hold the shared memory until they notice.
const ORPHANS_GONE_WITHIN: Duration = Duration::from_secs(30);

/// A throwaway PostgreSQL server, started from the installed programs.
///
/// It listens on 127.0.0.1, on a port that was free, and the user `postgres` has a password of its
/// own. If root starts it, it runs as the system's user `postgres`, because PostgreSQL refuses to
/// run as root. Server and files are gone when the value is dropped, and within a moment if the
/// process ends in any other way, `kill -9` included.
///
/// The methods block, some for a second, because starting a server takes that long.
///
/// ```no_run
/// use onerow_testing::PostgresServer;
///
/// let server = PostgresServer::start_with(&[("log_statement", "all")])?;
/// println!("psql {}", server.url("postgres"));
/// # Ok::<(), onerow_testing::ServerError>(())
/// ```
pub struct PostgresServer {
    supervisor: Mutex<Supervisor>,
    bin_dir: PathBuf,
    dir: PathBuf,
    port: u16,
    password: String,
}

impl fmt::Debug for PostgresServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dir, port, .. } = self;
        f.debug_struct("PostgresServer")
            .field("dir", dir)
            .field("port", port)
            .finish_non_exhaustive()
    }
}

impl PostgresServer {
    /// Starts a server with settings for speed.
    pub fn start() -> Result<Self, ServerError> {
        Self::start_with(&[])
    }

    /// Starts a server with these settings in its `postgresql.conf`, after the ones for speed.
    ///
    /// `wal_level` is `minimal` unless it is set here.
    pub fn start_with(settings: &[(&str, &str)]) -> Result<Self, ServerError> {
        let mut server = Self::prepare()?;
        server.init_database()?;
        server.configure(SETTINGS)?;
        if settings.iter().all(|(name, _)| *name != "wal_level") {
            server.configure(NO_REPLICATION)?;
        }
        server.configure(settings)?;
        server.start_on_a_free_port()?;
        Ok(server)
    }

    /// Leaves the server to the processes that share it. It ends when the last has gone and nobody
    /// has come for so many seconds.
    pub(super) fn share(self, seconds: u32) -> Result<Address, ServerError> {
        let postmaster = self.postmaster_pid()?;
        let supervisor = self.supervisor.into_inner().unwrap_or_else(PoisonError::into_inner);
        let supervisor = supervisor.share(seconds)?;
        Ok(Address { dir: self.dir, port: self.port, supervisor, postmaster })
    }

    /// Starts a read-only copy of this server that follows it: a hot standby.
    ///
    /// What was committed before the call is there at once; later changes arrive within a moment.
    /// Start this server with `("wal_level", "replica")`. It takes a `pg_basebackup` that is not
    /// older than the server.
    pub fn base_backup_standby(&self) -> Result<Self, ServerError> {
        let mut standby = Self::prepare()?;
        standby.password.clone_from(&self.password);
        standby.supervisor().run(
            "copying the server for a standby",
            &format!(
                "{} --host {} --port {} --username postgres --pgdata {} --write-recovery-conf \
                 --checkpoint fast --no-sync",
                quoted(installed::client(&self.bin_dir, "pg_basebackup")),
                quoted(&self.dir),
                self.port,
                quoted(standby.data_dir()),
            ),
        )?;
        standby.start_on_a_free_port()?;
        Ok(standby)
    }

    /// The URL of a database on this server, for its superuser.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// The TCP port. It stays the same as long as the server lives.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The directory of the server's programs, with `psql` and `pgbench` if they are installed.
    #[must_use]
    pub fn bin_dir(&self) -> &Path {
        &self.bin_dir
    }

    /// The process id of the postmaster, the parent of all the server's processes.
    ///
    /// It is an error if the server was stopped. After a postmaster was killed, its id is returned
    /// until the next start.
    pub fn postmaster_pid(&self) -> Result<i32, ServerError> {
        let lines = fs::read_to_string(self.data_dir().join("postmaster.pid"))
            .map_err(ServerError::Files)?;
        let first = lines.lines().next().and_then(|line| line.parse().ok());
        first.ok_or_else(|| {
            ServerError::Files(io::Error::other("postmaster.pid holds no process id"))
        })
    }

    /// Stops the server as an operator in a hurry does, by SIGQUIT to the postmaster. Connections
    /// break without a word, and the next start recovers from the log. It returns when the server
    /// is gone.
    pub fn kill_immediately(&self) -> Result<(), ServerError> {
        self.supervisor().run("stopping the server", "stop QUIT")
    }

    /// Kills one process of the server with SIGKILL: that of a connection (`pg_backend_pid()`), or
    /// the [postmaster](Self::postmaster_pid).
    ///
    /// If the process of a connection dies like that, PostgreSQL ends all the others and recovers
    /// by itself.
    pub fn kill_nine(&self, pid: i32) -> Result<(), ServerError> {
        kill(Pid::from_raw(pid), Signal::SIGKILL)
            .map_err(|errno| ServerError::Kill { pid, source: errno.into() })
    }

    /// Stops the server, if it runs, and starts it again on the same port. It returns when the
    /// server accepts connections.
    pub fn restart(&self) -> Result<(), ServerError> {
        let deadline = Instant::now() + ORPHANS_GONE_WITHIN;
        loop {
            match self.supervisor().run("starting the server", "stop INT; start") {
                Err(error)
                    if error.mentions("shared memory block") && Instant::now() < deadline =>
                {
                    thread::sleep(Duration::from_millis(100));
                }
                outcome => return outcome,
            }
        }
    }

    /// A supervised directory that is still empty.
    fn prepare() -> Result<Self, ServerError> {
        let bin_dir = installed::bin_dir()?;
        let supervisor = Supervisor::start(&bin_dir)?;
        let dir = supervisor.dir().to_owned();
        let password = random_hex().map_err(ServerError::Files)?;
        Ok(Self { supervisor: Mutex::new(supervisor), bin_dir, dir, port: 0, password })
    }

    fn init_database(&self) -> Result<(), ServerError> {
        // The password goes through a pipe, because an argument would show in the list of
        // processes. The socket asks for none, and nobody else may enter its directory.
        let line = format!(
            "echo {} | {} --pgdata {} --username postgres --pwfile /dev/stdin --auth-host \
             scram-sha-256 --auth-local trust --encoding UTF8 --locale {LOCALE} --no-sync",
            self.password,
            quoted(self.bin_dir.join("initdb")),
            quoted(self.data_dir()),
        );
        self.supervisor().run("creating a PostgreSQL cluster", &line)
    }

    /// Appends to the configuration, in which the last entry for a setting wins.
    fn configure(&self, settings: &[(&str, &str)]) -> Result<(), ServerError> {
        let path = self.data_dir().join("postgresql.conf");
        let append = || {
            let mut file = OpenOptions::new().append(true).open(path)?;
            settings.iter().try_for_each(|(name, value)| {
                writeln!(file, "{name} = '{}'", value.replace('\'', "''"))
            })
        };
        append().map_err(ServerError::Files)
    }

    fn start_on_a_free_port(&mut self) -> Result<(), ServerError> {
        let sockets = self.dir.to_string_lossy().into_owned();
        // It is a list, so a name with a comma has to be quoted.
        let sockets = format!("\"{}\"", sockets.replace('"', "\"\""));
        self.configure(&[("unix_socket_directories", &sockets)])?;
        let mut tries = 1;
        loop {
            self.port = free_port().map_err(ServerError::Files)?;
            self.configure(&[("port", &self.port.to_string())])?;
            match self.supervisor().run("starting the server", "start") {
                Err(error) if error.mentions("Address already in use") && tries < PORTS_TRIED => {
                    tries += 1;
                }
                outcome => return outcome,
            }
        }
    }

    /// If another thread panicked, the shell is between two commands, and as good as before.
    fn supervisor(&self) -> MutexGuard<'_, Supervisor> {
        self.supervisor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }
}

/// Why there is no server to test on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// None of the places searched holds PostgreSQL's programs.
    #[error(
        "no PostgreSQL server programs found in PATH, in /usr/lib/postgresql/*/bin or by \
         pg_config\n  \
         to install them: apt-get install postgresql\n  \
         if they are elsewhere: POSTGRES_BIN_DIR=<the directory that holds initdb>"
    )]
    NotInstalled,
    /// `POSTGRES_BIN_DIR` is set, and wrong.
    #[error("POSTGRES_BIN_DIR is {0}, which does not hold initdb and postgres")]
    NotInstalledIn(PathBuf),
    /// PostgreSQL refuses to run as root, and there is no user `postgres`.
    #[error(
        "PostgreSQL refuses to run as root, and this system has no user `postgres` to run it as"
    )]
    NoUser,
    /// The shell that runs and removes the server could not start, or has died.
    #[error("the supervising shell of the PostgreSQL server failed")]
    Supervisor(#[source] io::Error),
    /// The server's files cannot be read or written.
    #[error("cannot use the files of the PostgreSQL server")]
    Files(#[source] io::Error),
    /// One of PostgreSQL's programs failed.
    #[error("{operation} failed:\n{output}")]
    Failed {
        /// What it was to do.
        operation: &'static str,
        /// What it printed, or the log of the server.
        output: String,
    },
    /// There is no such process, or it is not ours.
    #[error("cannot kill process {pid}")]
    Kill {
        /// The process that was to be killed.
        pid: i32,
        /// What the system says.
        source: io::Error,
    },
}

impl ServerError {
    /// The error, and its cause on the next line.
    pub(crate) fn explain(&self) -> String {
        let cause = self.source().map(|cause| format!("\n  caused by: {cause}"));
        format!("{self}{}", cause.unwrap_or_default())
    }

    fn mentions(&self, text: &str) -> bool {
        matches!(self, Self::Failed { output, .. } if output.contains(text))
    }
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// 128 random bits, as 32 hexadecimal digits.
pub(crate) fn random_hex() -> io::Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use std::{
        net::TcpStream,
        process::{Command, Output, Stdio},
    };

    use super::*;
    use crate::postgres::wait_until;

    /// Runs SQL through the socket, which needs no password.
    fn psql(server: &PostgresServer, sql: &str) -> Output {
        Command::new(installed::client(server.bin_dir(), "psql"))
            .args(["--no-psqlrc", "--tuples-only", "--no-align", "--username", "postgres"])
            .args(["--port", &server.port().to_string(), "--host"])
            .arg(&server.dir)
            .args(["--command", sql])
            .output()
            .unwrap()
    }

    fn answer(server: &PostgresServer, sql: &str) -> String {
        let output = psql(server, sql);
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn runs(pid: i32) -> bool {
        Path::new("/proc").join(pid.to_string()).exists()
    }

    #[test]
    fn a_dropped_server_is_gone_with_its_files() {
        let server = PostgresServer::start().unwrap();
        let (pid, dir, port) =
            (server.postmaster_pid().unwrap(), server.dir.clone(), server.port());
        drop(server);
        assert!(!runs(pid));
        assert!(!dir.exists());
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    }

    #[test]
    fn a_server_goes_when_the_process_that_started_it_is_killed() {
        let (mut owner, pid, dir) = start_in_another_process();
        assert!(runs(pid) && dir.exists());
        owner.kill().unwrap();
        owner.wait().unwrap();
        wait_until("the server ends", || !runs(pid));
        wait_until("its files are removed", || !dir.exists());
    }

    /// Starts this test program again, with only the test below.
    fn start_in_another_process() -> (std::process::Child, i32, PathBuf) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--ignored",
                "--exact",
                "--nocapture",
                "postgres::server::tests::start_and_hang",
            ])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = io::BufRead::lines(io::BufReader::new(child.stdout.take().unwrap()));
        let line = output.map_while(Result::ok).find(|line| line.contains("postmaster=")).unwrap();
        let mut words = line.rsplit("postmaster=").next().unwrap().split(' ');
        let pid = words.next().unwrap().parse().unwrap();
        (child, pid, words.next().unwrap().into())
    }

    #[test]
    #[ignore = "the process that another test starts and kills"]
    fn start_and_hang() {
        let server = PostgresServer::start().unwrap();
        println!("postmaster={} {}", server.postmaster_pid().unwrap(), server.dir.display());
        thread::sleep(Duration::from_mins(1));
    }

    #[test]
    fn what_was_committed_survives_every_kind_of_stop() {
        let server = PostgresServer::start().unwrap();
        answer(&server, "CREATE TABLE kept (id INTEGER)");

        answer(&server, "INSERT INTO kept VALUES (1)");
        server.restart().unwrap();

        answer(&server, "INSERT INTO kept VALUES (2)");
        server.kill_immediately().unwrap();
        assert!(!psql(&server, "SELECT 1").status.success());
        server.restart().unwrap();

        answer(&server, "INSERT INTO kept VALUES (3)");
        server.kill_nine(server.postmaster_pid().unwrap()).unwrap();
        server.restart().unwrap();

        assert_eq!(answer(&server, "SELECT count(*) FROM kept"), "3");
    }

    #[test]
    fn a_password_is_asked_for_over_tcp() {
        let server = PostgresServer::start().unwrap();
        let connect = |url: &str| {
            Command::new(installed::client(server.bin_dir(), "psql"))
                .args(["--no-password", "--command", "SELECT 1", url])
                .output()
                .unwrap()
        };
        let url = server.url("postgres");
        assert!(connect(&url).status.success());
        assert!(!connect(&url.replace(&server.password, "wrong")).status.success());
    }

    #[test]
    fn a_standby_follows_and_refuses_writes() {
        let server = PostgresServer::start_with(&[("wal_level", "replica")]).unwrap();
        answer(&server, "CREATE TABLE before (id INTEGER)");
        let standby = server.base_backup_standby().unwrap();
        assert_eq!(answer(&standby, "SELECT count(*) FROM before"), "0");

        answer(&server, "CREATE TABLE after (id INTEGER)");
        wait_until("the new table arrives", || {
            psql(&standby, "SELECT FROM after").status.success()
        });
        let refused = psql(&standby, "INSERT INTO before VALUES (1)");
        assert!(String::from_utf8_lossy(&refused.stderr).contains("read-only transaction"));
    }

    #[test]
    fn a_setting_that_postgresql_refuses_is_shown_with_its_reason() {
        let error = PostgresServer::start_with(&[("max_connections", "many")]).err().unwrap();
        assert!(error.to_string().contains("invalid value for parameter"), "{error}");
    }
}
