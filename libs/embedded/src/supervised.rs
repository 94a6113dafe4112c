use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::time::Instant;

use crate::EmbeddedError;
use crate::folder::{log_tail, open_log};
use crate::user::ServerUser;

/// Runs the server and stops it when our end of the pipe closes: the kernel closes it however we die.
/// `read` is a builtin, so nothing but a shell is needed; the server gets no copy of the pipe.
const SUPERVISOR: &str = r#"
stop=$1; shift
exec 3<&0
"$@" </dev/null >&2 3<&- &
server=$!
echo "$server"
( exec >/dev/null 2>&1
  read -r line <&3
  kill -s "$stop" "$server"
  tries=0
  while kill -0 "$server" && [ "$tries" -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
  kill -s KILL "$server" ) &
watcher=$!
exec >/dev/null
wait "$server"
code=$?
kill "$watcher" 2>/dev/null
exit "$code"
"#;

const DROP_PAUSE: Duration = Duration::from_millis(5);
const DROP_LOOKS: u32 = 200;

/// How a server is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGINT: Postgres stops at once and cleanly.
    Interrupt,
    /// SIGTERM: what most servers expect.
    Terminate,
}

impl StopSignal {
    const fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "INT",
            Self::Terminate => "TERM",
        }
    }

    const fn signal(self) -> Signal {
        match self {
            Self::Interrupt => Signal::INT,
            Self::Terminate => Signal::TERM,
        }
    }
}

/// What to run, and as whom.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) log_file: PathBuf,
    pub(crate) user: Option<ServerUser>,
    pub(crate) stop: StopSignal,
}

/// A child process that ends when this value is dropped, and when this process ends in any way.
#[derive(Debug)]
pub struct Supervised {
    name: &'static str,
    log_file: PathBuf,
    stop: StopSignal,
    supervisor: Child,
    /// Closing it stops the server.
    pipe: Option<ChildStdin>,
    server: Pid,
}

impl Supervised {
    /// Starts a program as this user, its output appended to the log file.
    ///
    /// # Errors
    ///
    /// Fails when the log cannot be written or no shell can be started.
    pub async fn start(
        name: &'static str,
        program: &Path,
        arguments: Vec<OsString>,
        log_file: &Path,
        stop: StopSignal,
    ) -> Result<Self, EmbeddedError> {
        Self::launch(Launch {
            name,
            program: program.to_owned(),
            arguments,
            log_file: log_file.to_owned(),
            user: None,
            stop,
        })
        .await
    }

    pub(crate) async fn launch(launch: Launch) -> Result<Self, EmbeddedError> {
        let name = launch.name;
        tokio::task::spawn_blocking(move || Self::launch_blocking(launch))
            .await
            .unwrap_or_else(|error| Err(spawn_error(name, io::Error::other(error))))
    }

    fn launch_blocking(launch: Launch) -> Result<Self, EmbeddedError> {
        let Launch {
            name,
            program,
            arguments,
            log_file,
            user,
            stop,
        } = launch;
        let log: File = open_log(&log_file)?;
        let mut command = Command::new("/bin/sh");
        command
            .arg("-c")
            .arg(SUPERVISOR)
            .arg("mailmesh-embedded")
            .arg(stop.name())
            .arg(program)
            .args(arguments);
        // Variables such as PGPORT must not reach the servers; and Ctrl-C in a terminal goes to the
        // whole process group, but only we decide when they stop.
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LC_ALL", "C")
            .process_group(0);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log);
        if let Some(user) = user {
            command.uid(user.uid).gid(user.gid).current_dir("/");
        }
        let mut supervisor = command
            .spawn()
            .map_err(|source| spawn_error(name, source))?;
        let pipe = supervisor.stdin.take();
        let server = read_pid(&mut supervisor).map_err(|source| spawn_error(name, source))?;
        Ok(Self {
            name,
            log_file,
            stop,
            supervisor,
            pipe,
            server,
        })
    }

    /// Returns the server's process id.
    pub fn pid(&self) -> i32 {
        self.server.as_raw_nonzero().get()
    }

    /// Waits until the server has ended.
    pub async fn exited(&mut self) -> ExitStatus {
        loop {
            if let Some(status) = self.try_status() {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until `is_ready` holds.
    ///
    /// # Errors
    ///
    /// Fails when the server ends first or the time is over; both errors carry the end of its log.
    pub async fn ready(
        &mut self,
        within: Duration,
        mut is_ready: impl AsyncFnMut() -> bool,
    ) -> Result<(), EmbeddedError> {
        let started = Instant::now();
        while !is_ready().await {
            self.may_become_ready(started, within).await?;
        }
        Ok(())
    }

    /// As [`Supervised::ready`], for a caller that may run on any thread: the compiler cannot tell that of an async closure.
    pub(crate) async fn ready_on_any_thread<F: Future<Output = bool> + Send>(
        &mut self,
        within: Duration,
        mut is_ready: impl FnMut() -> F + Send,
    ) -> Result<(), EmbeddedError> {
        let started = Instant::now();
        while !is_ready().await {
            self.may_become_ready(started, within).await?;
        }
        Ok(())
    }

    /// Waits a moment, unless the server has ended or the time is over.
    async fn may_become_ready(
        &mut self,
        started: Instant,
        within: Duration,
    ) -> Result<(), EmbeddedError> {
        if let Some(status) = self.try_status() {
            return Err(EmbeddedError::Exited {
                server: self.name,
                status,
                log: log_tail(&self.log_file),
            });
        }
        if started.elapsed() > within {
            return Err(EmbeddedError::NotReady {
                server: self.name,
                within,
                log: log_tail(&self.log_file),
            });
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        Ok(())
    }

    /// Asks the server to stop, waits, and kills it when it does not.
    pub async fn stop(&mut self, patience: Duration) {
        self.send(self.stop.signal());
        if tokio::time::timeout(patience, self.exited()).await.is_err() {
            tracing::warn!(
                server = self.name,
                "Server did not stop when asked and is killed"
            );
            self.kill().await;
        }
    }

    /// Kills the server as a crash would.
    pub async fn kill(&mut self) {
        self.send(Signal::KILL);
        self.exited().await;
    }

    fn send(&mut self, signal: Signal) {
        if self.try_status().is_none() {
            // It may have ended since; then nothing is left to do.
            kill_process(self.server, signal).ok();
        }
    }

    fn try_status(&mut self) -> Option<ExitStatus> {
        self.supervisor.try_wait().ok().flatten()
    }
}

impl Drop for Supervised {
    /// Waits a moment, so that whoever uses the folder next usually finds it free; a server that
    /// takes longer is still stopped by the shell.
    fn drop(&mut self) {
        drop(self.pipe.take());
        for _ in 0..DROP_LOOKS {
            if !matches!(self.supervisor.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(DROP_PAUSE);
        }
    }
}

fn spawn_error(name: &str, source: io::Error) -> EmbeddedError {
    EmbeddedError::Spawn {
        program: name.to_owned(),
        source,
    }
}

fn read_pid(supervisor: &mut Child) -> io::Result<Pid> {
    let output = supervisor
        .stdout
        .take()
        .ok_or_else(|| io::Error::other("no output"))?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    line.trim()
        .parse()
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(|| io::Error::other("the shell did not tell the process id"))
}

/// Stops a server that an earlier process left on this folder: the pid is of use only if that
/// process's command line names the folder, because pids are used again.
pub(crate) async fn stop_left_behind(
    name: &'static str,
    pid: Option<i32>,
    folder: &Path,
    stop: StopSignal,
) -> Result<(), EmbeddedError> {
    let Some(pid) = pid
        .and_then(Pid::from_raw)
        .filter(|pid| command_line_names(*pid, folder))
    else {
        return Ok(());
    };
    tracing::warn!(
        server = name,
        pid = pid.as_raw_nonzero().get(),
        "Stopping a server that was left behind"
    );
    for (signal, seconds) in [(stop.signal(), 15), (Signal::KILL, 5)] {
        // It may end by itself at any moment.
        kill_process(pid, signal).ok();
        let deadline = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < deadline {
            if test_kill_process(pid).is_err() || !command_line_names(pid, folder) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Err(EmbeddedError::LeftBehind {
        server: name,
        pid: pid.as_raw_nonzero().get(),
    })
}

fn command_line_names(pid: Pid, folder: &Path) -> bool {
    command_line_contains(pid.as_raw_nonzero().get(), folder)
}

/// Returns whether the process lives and its command line contains this text.
pub(crate) fn command_line_contains(pid: i32, text: impl AsRef<OsStr>) -> bool {
    let command_line = std::fs::read(format!("/proc/{pid}/cmdline")).or_else(|_| {
        let mut ps = Command::new("ps");
        ps.args(["-o", "args=", "-p"]).arg(pid.to_string());
        ps.output().map(|output| output.stdout)
    });
    let text = text.as_ref().as_encoded_bytes();
    command_line.is_ok_and(|line| line.windows(text.len()).any(|window| window == text))
}
