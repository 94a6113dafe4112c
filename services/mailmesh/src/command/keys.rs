use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use mailmesh_runtime::ConfigError;
use mailmesh_secrets::{ExposeSecret, KeySettings, OpeningKeys, SecretString};
use mailmesh_store::{Database, MigrationState, PostgresSettings};

use crate::console::{finish, say};
use crate::credentials::{make_folder, write_file};
use crate::key_check;

/// Where the keys go.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The folder for `opening.key` (private) and `sealing.key` (public).
    #[arg(long, default_value = "keys")]
    out: PathBuf,
    /// First step of a rotation: add a key that opens, and seals nothing yet.
    #[arg(long, conflicts_with = "promote")]
    add: bool,
    /// Second step, once every service was started anew with the added key: let it seal.
    #[arg(long)]
    promote: bool,
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    finish(make(arguments))
}

fn make(arguments: &Arguments) -> anyhow::Result<()> {
    let files = files(&arguments.out);
    let opening = files.opening.display();
    if arguments.add {
        write(&files, &read(&files)?.add()?)?;
        say(format!(
            "{opening} has a new key behind the others. Start every service but admin anew with it, then: mailmesh keys --promote"
        ));
        return Ok(());
    }
    if arguments.promote {
        let keys = read(&files)?.promote();
        let keys = keys.with_context(|| format!("{opening} has one key; --add another first"))?;
        write(&files, &keys)?;
        say(format!(
            "The key that was added seals from now on. Start every service anew with {opening}, admin with {}; then seal everything anew with: mailmesh reseal. Until then the other keys are needed.",
            files.sealing.display()
        ));
        return Ok(());
    }
    if files.opening.exists() {
        bail!("{opening} exists; --add puts another key into it");
    }
    write(&files, &OpeningKeys::generate()?)?;
    say(format!("{opening}: private, for every service but admin"));
    say(format!("{}: public, for admin", files.sealing.display()));
    Ok(())
}

fn read(files: &Files) -> anyhow::Result<OpeningKeys> {
    let path = &files.opening;
    let text = std::fs::read_to_string(path);
    let text = text.with_context(|| format!("cannot read {}", path.display()))?;
    let keys = OpeningKeys::parse(&SecretString::from(text));
    keys.with_context(|| format!("{} is no key file", path.display()))
}

struct Files {
    opening: PathBuf,
    sealing: PathBuf,
}

fn files(folder: &Path) -> Files {
    Files {
        opening: folder.join("opening.key"),
        sealing: folder.join("sealing.key"),
    }
}

/// Returns where the keys of a data folder are, or will be.
pub(crate) fn settings(folder: &Path) -> KeySettings {
    let files = files(folder);
    KeySettings {
        opening_key_file: Some(files.opening),
        sealing_key_file: Some(files.sealing),
    }
}

/// Makes the keys of a data folder unless it has some. New ones open nothing that is stored, so where secrets are stored
/// they are made only by a command of their own.
pub(crate) async fn ensure(folder: &Path, postgres: &PostgresSettings) -> anyhow::Result<()> {
    let files = files(folder);
    if files.opening.exists() {
        if !files.sealing.exists() {
            write(&files, &read(&files)?)?;
        }
        let fitting = settings(folder).check_pair();
        return Ok(fitting.map_err(|error| ConfigError::invalid("keys", error))?);
    }
    let database = Database::connect(&postgres.resolve()?).await?;
    if let MigrationState::Behind(_) = database.migration_state().await? {
        // The services refuse it in the next step.
        return Ok(());
    }
    let is_stored = key_check::is_any_stored(&database).await;
    database.close().await;
    if is_stored? {
        let lost = KeysLost {
            file: files.opening,
            folder: folder.to_owned(),
        };
        return Err(ConfigError::invalid("keys", lost).into());
    }
    write(&files, &OpeningKeys::generate()?)
}

#[derive(Debug, thiserror::Error)]
#[error(
    "{} is missing, and the database holds secrets that only its keys open: restore the file from its copy. If it is lost for good, \
     `mailmesh keys --out {}` makes new keys; then every client secret and password must be stored again and every mailbox signed in again",
    file.display(), folder.display()
)]
struct KeysLost {
    file: PathBuf,
    folder: PathBuf,
}

fn write(files: &Files, keys: &OpeningKeys) -> anyhow::Result<()> {
    if let Some(folder) = files.opening.parent() {
        make_folder(folder)?;
    }
    // The public file first: if the private one exists, both do.
    write_file(&files.sealing, 0o644, &keys.sealing_key().to_file_text())?;
    write_file(&files.opening, 0o600, keys.to_file_text()?.expose_secret())
}
