use std::ffi::OsStr;
use std::io::Write;

use anyhow::{Context, anyhow, bail};
use mailmesh_embedded::EmbeddedError;

use crate::container::is_engine_there;

/// How the servers of this process run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerKind {
    /// Both were named by a URL.
    Given,
    Containers,
    /// As child processes.
    Processes,
}

/// Returns whether new servers shall be containers, as `TEST_SERVERS` or the machine says; and
/// whether that was asked for, so that nothing else will do.
async fn wants_containers() -> anyhow::Result<(bool, bool)> {
    let asked = std::env::var_os("TEST_SERVERS").unwrap_or_default();
    if asked == OsStr::new("containers") {
        let hint = "TEST_SERVERS=containers, but no Docker engine answers: `apt-get install docker.io`, then `dockerd`";
        return if is_engine_there().await {
            Ok((true, true))
        } else {
            Err(anyhow!(hint))
        };
    }
    if asked == OsStr::new("processes") {
        return Ok((false, true));
    }
    if asked.is_empty() {
        return Ok((is_engine_there().await, false));
    }
    bail!(
        "TEST_SERVERS must be `containers` or `processes`, not {}",
        asked.display()
    )
}

/// Runs one way, and the other where nobody asked for the first.
pub(crate) async fn containers_or_processes<T>(
    containers: impl AsyncFnOnce() -> anyhow::Result<T>,
    processes: impl AsyncFnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<(T, ServerKind)> {
    let (in_containers, was_asked) = wants_containers().await?;
    if !in_containers {
        return Ok((processes().await?, ServerKind::Processes));
    }
    match containers().await {
        Ok(value) => Ok((value, ServerKind::Containers)),
        Err(error) if was_asked => Err(error),
        Err(error) => {
            tell(&format!(
                "Testing with processes instead of containers: {error:#}"
            ));
            let value = processes()
                .await
                .with_context(|| format!("after containers failed ({error:#})"))?;
            Ok((value, ServerKind::Processes))
        }
    }
}

/// Tells people of long steps; the test harness does not capture this.
pub(crate) fn tell(line: &str) {
    writeln!(std::io::stderr(), "testkit: {line}").ok();
}

pub(crate) fn with_hint(error: EmbeddedError) -> anyhow::Error {
    let hint = error.hint();
    anyhow::Error::from(error).context(hint)
}
