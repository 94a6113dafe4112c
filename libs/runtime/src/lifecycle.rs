//! The tasks of a process by name, their failures, and the order in which they stop.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, error, info, info_span, warn};

use crate::check::Checks;
use crate::exit::code;
use crate::signal::StopSignals;
use crate::telemetry::LOG_CONTEXT;

const BUSY_REPORT: Duration = Duration::from_secs(5);

/// A service's handle on its process: spawns its tasks and tells it when to stop. Clones are the same handle.
#[derive(Clone)]
pub struct Lifecycle {
    name: Arc<str>,
    stop: CancellationToken,
    /// Count the tasks of this part and of each that it is a part of, the process first.
    trackers: Vec<TaskTracker>,
    shared: Arc<LifecycleState>,
}

struct LifecycleState {
    root_stop: CancellationToken,
    /// Drops all tasks where they stand.
    abandoned: CancellationToken,
    tasks: TaskTracker,
    running: Mutex<BTreeMap<u64, String>>,
    next_id: AtomicU64,
    /// Why the process has to end, set by the first task that ended by itself.
    fault: watch::Sender<Option<TaskFault>>,
    checks: Checks,
}

/// Why a process ended by itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TaskFault {
    /// A task that should run until it is stopped came to its end.
    #[error("task {task} ended by itself")]
    Ended { task: String },
    /// A task failed.
    #[error("task {task} failed: {reason}")]
    Failed {
        task: String,
        /// Its error, with all causes.
        reason: String,
    },
    /// A task panicked.
    #[error("task {task} panicked: {message}")]
    Panicked {
        task: String,
        /// What the panic said.
        message: String,
    },
}

/// How a process came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExitReport {
    /// Why it ended by itself; none after a stop that was asked for.
    pub fault: Option<TaskFault>,
    /// The tasks that had not ended when the grace time was over.
    pub busy: Vec<String>,
}

/// What a task may return: nothing, or a result.
pub trait TaskEnd {
    /// Returns the failure with all its causes, if it is one.
    fn failure(self) -> Option<String>;
}

impl TaskEnd for () {
    fn failure(self) -> Option<String> {
        None
    }
}

impl<E: Into<anyhow::Error>> TaskEnd for Result<(), E> {
    fn failure(self) -> Option<String> {
        self.err().map(|error| format!("{:#}", error.into()))
    }
}

impl ExitReport {
    /// Returns the process's exit code: 0 only after a stop that was asked for and came to its end.
    pub fn exit_code(&self) -> u8 {
        if self.fault.is_none() && self.busy.is_empty() {
            code::OK
        } else {
            code::FAILED
        }
    }
}

impl fmt::Debug for Lifecycle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Lifecycle")
            .field("name", &self.name)
            .field("is_stopping", &self.is_stopping())
            .field("running", &self.running())
            .finish_non_exhaustive()
    }
}

impl Lifecycle {
    /// Starts the life cycle of a process.
    pub fn new(name: &str) -> Self {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        Self {
            name: name.into(),
            stop: stop.clone(),
            trackers: vec![tasks.clone()],
            shared: Arc::new(LifecycleState {
                root_stop: stop,
                abandoned: CancellationToken::new(),
                tasks,
                running: Mutex::default(),
                next_id: AtomicU64::new(0),
                fault: watch::Sender::new(None),
                checks: Checks::default(),
            }),
        }
    }

    /// Returns a handle for a part of the process, such as one of several services. Its tasks carry its name, and
    /// stopping it stops them alone.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        self.part(name, self.stop.child_token())
    }

    /// As [`Lifecycle::child`], but the part is told to stop only when all tasks of `earlier` have ended after a stop: as
    /// what records results must outlast those who work, and a membership both.
    #[must_use]
    pub fn child_after(&self, name: &str, earlier: &Self) -> Self {
        let part = self.part(name, CancellationToken::new());
        let stop = part.stop.clone();
        let earlier_stop = earlier.stop.clone();
        let earlier_tasks = earlier.trackers.last().cloned();
        let abandoned = self.shared.abandoned.clone();
        let passing_on = async move {
            earlier_stop.cancelled().await;
            if let Some(tasks) = earlier_tasks {
                tasks.close();
                tasks.wait().await;
            }
            stop.cancel();
        };
        self.shared.tasks.spawn(async move {
            abandoned.run_until_cancelled(passing_on).await;
        });
        part
    }

    fn part(&self, name: &str, stop: CancellationToken) -> Self {
        let mut trackers = self.trackers.clone();
        trackers.push(TaskTracker::new());
        Self {
            name: format!("{}/{name}", self.name).into(),
            stop,
            trackers,
            shared: Arc::clone(&self.shared),
        }
    }

    /// Returns the name of this part.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns what tells a task to stop.
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Tells this part's tasks to stop; on the root, the process's.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Says whether this part was told to stop.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Waits until this part is told to stop.
    pub async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// Returns the readiness checks of the process.
    pub fn checks(&self) -> &Checks {
        &self.shared.checks
    }

    /// Runs a task that lasts until it is told to stop. If it ends earlier, fails or panics, the process stops.
    pub fn spawn<F>(&self, name: &str, task: F)
    where
        F: Future<Output: TaskEnd> + Send + 'static,
    {
        self.launch(name, Box::pin(failure_of(task)), true);
    }

    /// Runs a task that may come to its end. If it fails or panics, the process stops.
    pub fn spawn_once<F>(&self, name: &str, task: F)
    where
        F: Future<Output: TaskEnd> + Send + 'static,
    {
        self.launch(name, Box::pin(failure_of(task)), false);
    }

    fn launch(&self, name: &str, task: BoxFuture<'static, Option<String>>, must_last: bool) {
        let task_name = format!("{}/{name}", self.name);
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        self.shared.note_running(id, Some(task_name.clone()));
        let shared = Arc::clone(&self.shared);
        let stop = self.stop.clone();
        let counted: Vec<_> = self.trackers.iter().map(TaskTracker::token).collect();
        let span = info_span!(target: LOG_CONTEXT, parent: None, "task", task = task_name);
        // Unwind safe: the task is dropped in either case, and nobody sees the state that it left.
        let work = AssertUnwindSafe(task).catch_unwind();
        let supervised = async move {
            let end = tokio::select! {
                biased;
                () = shared.abandoned.cancelled() => None,
                end = work => Some(end),
            };
            shared.note_running(id, None);
            let task = task_name;
            // A later part can have nothing left to do before it is told to stop, once the process stops.
            let is_early = || !stop.is_cancelled() && !shared.root_stop.is_cancelled();
            let fault = match end {
                Some(Err(panic)) => TaskFault::Panicked {
                    task,
                    message: message_of(panic.as_ref()),
                },
                Some(Ok(Some(reason))) => TaskFault::Failed { task, reason },
                Some(Ok(None)) if must_last && is_early() => TaskFault::Ended { task },
                Some(Ok(None)) | None => return,
            };
            shared.note_fault(fault);
        };
        let supervised = async move {
            supervised.await;
            drop(counted);
        };
        self.shared.tasks.spawn(supervised.instrument(span));
    }

    /// Waits for SIGINT, SIGTERM, a call to [`Lifecycle::stop`] or a task's failure; then stops all tasks and waits for
    /// them up to the grace time. A second signal ends the waiting. Signals are heard from the call on, before the first
    /// poll.
    pub fn run_until_stopped(&self, grace: Duration) -> impl Future<Output = ExitReport> {
        let mut signals = StopSignals::listen();
        let mut faults = self.shared.fault.subscribe();
        async move {
            tokio::select! {
                name = signals.next() => info!(signal = name, "Stopping"),
                () = self.shared.root_stop.cancelled() => info!("Stopping"),
                _ = faults.wait_for(Option::is_some) => {}
            }
            tokio::select! {
                report = self.end(grace) => report,
                name = signals.next() => {
                    warn!(signal = name, "Not waiting any longer");
                    self.report(self.running())
                }
            }
        }
    }

    /// Stops all tasks and waits for them up to the grace time; hears no signals.
    pub async fn end(&self, grace: Duration) -> ExitReport {
        self.shared.root_stop.cancel();
        self.shared.tasks.close();
        let busy = self.wait_for_tasks(grace).await;
        self.report(busy)
    }

    fn report(&self, busy: Vec<String>) -> ExitReport {
        if !busy.is_empty() {
            error!(tasks = ?busy, "Tasks have not ended, giving them up");
        }
        let fault = self.shared.fault.borrow().clone();
        ExitReport { fault, busy }
    }

    /// Drops all tasks where they stand, as the kill of the process would: nothing is finished or recorded. They are dropped
    /// from the call on, and gone once it is awaited.
    pub fn abandon(&self) -> impl Future<Output = ()> + use<> {
        self.shared.abandoned.cancel();
        self.shared.tasks.close();
        let tasks = self.shared.tasks.clone();
        async move { tasks.wait().await }
    }

    /// Returns the tasks that have not ended when the grace time is over.
    async fn wait_for_tasks(&self, grace: Duration) -> Vec<String> {
        let deadline = Instant::now() + grace;
        loop {
            let next_report = deadline.min(Instant::now() + BUSY_REPORT);
            if tokio::time::timeout_at(next_report, self.shared.tasks.wait())
                .await
                .is_ok()
            {
                return Vec::new();
            }
            let busy = self.running();
            if Instant::now() >= deadline {
                return busy;
            }
            info!(tasks = ?busy, "Waiting for tasks to end");
        }
    }

    /// Returns the names of the tasks that run.
    pub fn running(&self) -> Vec<String> {
        let running = self.shared.running.lock();
        let running = running.unwrap_or_else(PoisonError::into_inner);
        running.values().cloned().collect()
    }
}

impl LifecycleState {
    fn note_running(&self, id: u64, name: Option<String>) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        match name {
            Some(name) => running.insert(id, name),
            None => running.remove(&id),
        };
    }

    /// The first fault is the reason; what fails while the process stops is only logged.
    fn note_fault(&self, fault: TaskFault) {
        error!(
            error = &fault as &dyn std::error::Error,
            "Task is gone, stopping the process"
        );
        self.fault.send_if_modified(|present| {
            let is_first = present.is_none();
            if is_first {
                *present = Some(fault);
            }
            is_first
        });
    }
}

async fn failure_of(task: impl Future<Output: TaskEnd>) -> Option<String> {
    task.await.failure()
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
}
