use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::bail;
use mailmesh_runtime::Unavailable;
use mailmesh_secrets::{KeyId, OpenError, OpeningKeys};
use mailmesh_store::Database;
use mailmesh_store::sealed::{self, SealedColumn};

use crate::ConfigArguments;
use crate::config::{CommandConfig, Config};
use crate::console::{block_on_with, say};

const BATCH: i64 = 500;

/// Counts of the secrets of one column by result.
#[derive(Debug, Default)]
struct Tally {
    found: usize,
    sealed_anew: usize,
    changed_meanwhile: usize,
    refused: usize,
    /// Keys that the file lacks, and how many secrets need them.
    lacking: BTreeMap<KeyId, usize>,
}

pub(crate) fn run(arguments: &ConfigArguments) -> ExitCode {
    let client = CommandConfig::new(arguments);
    let loader = client.loader.clone();
    let work = async move {
        let config: Config = loader.load()?;
        config.check_values(&[])?;
        let keys = config.opening_keys()?;
        let database = Database::connect(&config.postgres()?.resolve()?)
            .await
            .map_err(Unavailable::new)?;
        let mut left = 0;
        for column in SealedColumn::ALL {
            let tally = reseal(&database, &keys, column).await?;
            left += print_tally(column, &tally);
        }
        match left {
            0 => say("Every secret is sealed with the first key; no other is needed."),
            _ => bail!("{left} secrets are not sealed with the first key"),
        }
        Ok(())
    };
    block_on_with(work, client.advice())
}

/// Reseals a column in batches, one transaction each.
async fn reseal(
    database: &Database,
    keys: &OpeningKeys,
    column: SealedColumn,
) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    let mut after = None;
    loop {
        let mut tx = database.begin().await?;
        let batch = sealed::list(&mut tx, column, after, BATCH).await?;
        let Some(last) = batch.last() else {
            return Ok(tally);
        };
        after = Some(last.context.row);
        tally.found += batch.len();
        for secret in batch.iter().filter(|each| keys.needs_reseal(&each.sealed)) {
            let Some(plain) = tally.note(keys.open(&secret.sealed, &secret.context)) else {
                continue;
            };
            let sealed_anew = keys.sealing_key().seal(&plain, &secret.context)?;
            if sealed::replace(&mut tx, column, secret, &sealed_anew).await? {
                tally.sealed_anew += 1;
            } else {
                tally.changed_meanwhile += 1;
            }
        }
        tx.commit().await?;
    }
}

impl Tally {
    fn note<T>(&mut self, opened: Result<T, OpenError>) -> Option<T> {
        match opened {
            Ok(plain) => return Some(plain),
            Err(OpenError::UnknownKey { key_id }) => *self.lacking.entry(key_id).or_default() += 1,
            Err(OpenError::Refused | OpenError::NotText) => self.refused += 1,
        }
        None
    }
}

/// Prints the counts of a column, and returns how many of its secrets may still need another key.
fn print_tally(column: SealedColumn, tally: &Tally) -> usize {
    let what = match column {
        SealedColumn::ClientSecret => "client secrets",
        SealedColumn::Password => "passwords",
        SealedColumn::AccessToken => "access tokens",
        SealedColumn::PrivateKey => "private keys",
        SealedColumn::RefreshToken => "refresh tokens",
    };
    say(format!(
        "{what}: {} of {} sealed anew",
        tally.sealed_anew, tally.found
    ));
    for (key, count) in &tally.lacking {
        say(format!(
            "{what}: {count} need the key {key}, which is not in the key file"
        ));
    }
    if tally.refused > 0 {
        say(format!(
            "{what}: {} do not open, although their key is there: their rows were changed by hand",
            tally.refused
        ));
    }
    if tally.changed_meanwhile > 0 {
        say(format!(
            "{what}: {} were changed meanwhile; run this again",
            tally.changed_meanwhile
        ));
    }
    tally.lacking.values().sum::<usize>() + tally.refused + tally.changed_meanwhile
}
