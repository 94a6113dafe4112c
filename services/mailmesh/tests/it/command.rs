use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::process::Command;

const LIMIT: Duration = Duration::from_mins(1);

/// How a command ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
}

pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_mailmesh"))
}

/// Runs the binary to its end, with no variables but these.
pub(crate) async fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    let child = Command::new(binary())
        .args(arguments)
        .env_clear()
        .envs(base())
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(LIMIT, child).await;
    let output = output.unwrap_or_else(|_| panic!("{arguments:?} did not end"));
    let output = output.unwrap();
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Ended {
        code: output.status.code(),
        output: text,
    }
}

/// What every process needs to find fetched servers.
pub(crate) fn base() -> Vec<(String, String)> {
    let value = |name: &str| std::env::var_os(name)?.into_string().ok();
    ["PATH", "HOME", "XDG_CACHE_HOME", "PIP_INDEX_URL"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), value(name)?)))
        .collect()
}

/// An empty folder of this test, removed by the next run of the test kit at the latest.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir()
            .join(format!("mailmesh-test-{}", std::process::id()))
            .join(format!("{name}-{number}"));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // As root, Postgres's files lie elsewhere, behind a link in the data folder.
        let behind = std::fs::read_link(self.0.join("data/postgres/cluster")).ok();
        for folder in behind.iter().chain([&self.0]) {
            std::fs::remove_dir_all(folder).ok();
        }
        if let Some(parent) = self.0.parent() {
            std::fs::remove_dir(parent).ok();
        }
    }
}
