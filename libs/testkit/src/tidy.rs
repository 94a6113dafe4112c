use std::ffi::OsString;
use std::path::{Path, PathBuf};

use mailmesh_embedded::{StopSignal, Supervised};

/// Statics are never dropped and a killed process cleans up nothing, so a shell that is tied to
/// this process by a pipe does it.
const REMOVE_FOLDER: &str = r#"
folder=$1; shift
tidy() {
  for server in "$@"; do
    while kill -0 "$server" 2>/dev/null; do sleep 0.1; done
  done
  rm -rf -- "$folder"
  rmdir "$(dirname "$folder")"
  exit 0
}
trap 'kill "$nap"; tidy "$@"' TERM
while :; do sleep 3600 & nap=$!; wait "$nap"; done
"#;

#[cfg(feature = "containers")]
const REMOVE_CONTAINER: &str = r#"
container=$1; host=$2
if [ -n "$host" ]; then export DOCKER_HOST="$host"; fi
tidy() {
  docker rm -f -v "$container" ||
    curl -s --unix-socket /var/run/docker.sock -X DELETE "http://docker/containers/$container?force=true&v=true"
  exit 0
}
trap 'kill "$nap"; tidy' TERM
while :; do sleep 3600 & nap=$!; wait "$nap"; done
"#;

/// A folder for this process's servers, in the temporary folder.
pub(crate) fn process_folder() -> anyhow::Result<PathBuf> {
    let parent = std::env::temp_dir();
    remove_abandoned(&parent);
    let folder = parent.join(format!("{FOLDER_PREFIX}{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

const FOLDER_PREFIX: &str = "mailmesh-test-";

/// Removes the folders of processes that are gone and whose shell was killed with them.
fn remove_abandoned(parent: &Path) {
    let entries = std::fs::read_dir(parent)
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    for entry in entries {
        let name = entry.file_name();
        let pid = name
            .to_str()
            .and_then(|name| name.strip_prefix(FOLDER_PREFIX)?.parse::<u32>().ok());
        let is_abandoned = pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists());
        if is_abandoned && Path::new("/proc/self").exists() {
            // Another process may be doing the same.
            std::fs::remove_dir_all(entry.path()).ok();
        }
    }
}

/// Removes the folder when this process ends, after these servers have.
pub(crate) async fn remove_folder_at_end(
    folder: &Path,
    servers: &[i32],
) -> anyhow::Result<Supervised> {
    let mut arguments = vec![folder.as_os_str().to_owned()];
    arguments.extend(servers.iter().map(|pid| OsString::from(pid.to_string())));
    at_end(REMOVE_FOLDER, arguments).await
}

/// Removes the container when this process ends.
#[cfg(feature = "containers")]
pub(crate) async fn remove_container_at_end(id: &str) -> anyhow::Result<Supervised> {
    let host = std::env::var_os("DOCKER_HOST").unwrap_or_default();
    at_end(REMOVE_CONTAINER, vec![OsString::from(id), host]).await
}

async fn at_end(script: &str, arguments: Vec<OsString>) -> anyhow::Result<Supervised> {
    let mut all = vec![
        OsString::from("-c"),
        OsString::from(script),
        OsString::from("mailmesh-tidy"),
    ];
    all.extend(arguments);
    let log = Path::new("/dev/null");
    Ok(Supervised::start(
        "tidy",
        Path::new("/bin/sh"),
        all,
        log,
        StopSignal::Terminate,
    )
    .await?)
}
