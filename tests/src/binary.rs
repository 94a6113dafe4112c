use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::SystemTime;

use anyhow::{Context, anyhow, ensure};
use tokio::sync::OnceCell;

static BINARY: OnceCell<Result<PathBuf, String>> = OnceCell::const_new();

/// Returns the `mailmesh` binary of this build, built by the first test that asks if it is not
/// there or older than its sources. `TEST_MAILMESH` names another one to test instead.
///
/// # Errors
///
/// Fails with the compiler's words when it does not build.
pub async fn binary() -> anyhow::Result<&'static Path> {
    let found = BINARY
        .get_or_init(async || find().await.map_err(|error| format!("{error:#}")))
        .await;
    match found {
        Ok(path) => Ok(path),
        Err(error) => Err(anyhow!("no mailmesh binary to test: {error}")),
    }
}

async fn find() -> anyhow::Result<PathBuf> {
    if let Some(given) = std::env::var_os("TEST_MAILMESH").filter(|path| !path.is_empty()) {
        let given = PathBuf::from(given);
        ensure!(given.exists(), "{} is not there", given.display());
        return Ok(given);
    }
    let profile_folder = profile_folder()?;
    let binary = profile_folder.join("mailmesh");
    // `cargo test --workspace` has built it; building it alone chooses other features of its
    // dependencies, so all of them would be compiled again.
    if !is_fresh(&binary) {
        build(&profile_folder).await?;
    }
    ensure!(binary.exists(), "cargo did not make {}", binary.display());
    Ok(binary)
}

/// `target/debug`, seen from `target/debug/deps/mesh-0123456789abcdef`.
fn profile_folder() -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe()?;
    let folder = test.ancestors().nth(2);
    Ok(folder.context("the test lies in no folder")?.to_owned())
}

/// Says whether the binary is newer than every source that cargo lists beside it.
fn is_fresh(binary: &Path) -> bool {
    let Some(built) = modified(binary) else {
        return false;
    };
    let Ok(list) = std::fs::read_to_string(binary.with_extension("d")) else {
        return false;
    };
    let sources = list.split_once(": ").map_or("", |(_, sources)| sources);
    // A space in a path is escaped there.
    let sources = sources.trim_end().replace("\\ ", "\0");
    sources.split(' ').all(|source| {
        let source = source.replace('\0', " ");
        modified(Path::new(&source)).is_some_and(|changed| changed <= built)
    })
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).ok()?.modified().ok()
}

async fn build(profile_folder: &Path) -> anyhow::Result<()> {
    let profile = profile_folder
        .file_name()
        .and_then(|name| name.to_str())
        .context("the profile has no name")?;
    let target = profile_folder.parent().context("no target folder")?;
    let output = tokio::process::Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "mailmesh-cli"])
        .args(["--bin", "mailmesh", "--profile"])
        .arg(if profile == "debug" { "dev" } else { profile })
        .arg("--target-dir")
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("cannot run cargo")?;
    ensure!(
        output.status.success(),
        "cargo build failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
