//! Whether the keys of a process open what the database holds: a key file that was exchanged reads as well as the right one.

use std::collections::BTreeSet;

use mailmesh_secrets::{KeyId, OpenError, OpeningKeys};
use mailmesh_store::sealed::{self, SealedColumn};
use mailmesh_store::{Database, StoreError};
use tracing::{error, warn};

use crate::service_kind::Kind;

/// Secrets tried at each end of a column: its oldest rows tell of a key that is gone, its newest of one that was added.
const SAMPLE: i64 = 50;

pub(crate) const ACTION: &str = "Restore the key file from its copy, or name the one that has these keys in keys.opening_key_file. If they are lost for good: store every client secret and password again, and sign every mailbox in again.";

/// Results of trying to open stored secrets.
#[derive(Debug, Default)]
pub(crate) struct KeyCheck {
    tried: usize,
    opened: usize,
    lacking: BTreeSet<KeyId>,
}

/// Tries a bounded number of secrets of each column.
pub(crate) async fn check(
    database: &Database,
    keys: &OpeningKeys,
    columns: &[SealedColumn],
) -> Result<KeyCheck, StoreError> {
    let mut check = KeyCheck::default();
    let mut tx = database.begin().await?;
    for column in columns {
        let oldest = sealed::list(&mut tx, *column, None, SAMPLE).await?;
        let newest = sealed::list_newest(&mut tx, *column, SAMPLE).await?;
        for secret in oldest.iter().chain(&newest) {
            check.note(keys.open(&secret.sealed, &secret.context).map(drop));
        }
    }
    Ok(check)
}

/// Returns whether the database holds a secret at all.
pub(crate) async fn is_any_stored(database: &Database) -> Result<bool, StoreError> {
    let mut tx = database.begin().await?;
    for column in SealedColumn::ALL {
        if !sealed::list_newest(&mut tx, column, 1).await?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

impl KeyCheck {
    fn note(&mut self, opened: Result<(), OpenError>) {
        self.tried += 1;
        match opened {
            Ok(()) => self.opened += 1,
            Err(OpenError::UnknownKey { key_id }) => {
                self.lacking.insert(key_id);
            }
            Err(OpenError::Refused | OpenError::NotText) => {}
        }
    }

    /// Returns what does not open; none if all that was tried does.
    pub(crate) fn problem(&self) -> Option<String> {
        let failed = self.tried - self.opened;
        if failed == 0 {
            return None;
        }
        let text = format!(
            "{failed} of {} stored secrets that were tried do not open",
            self.tried
        );
        if self.lacking.is_empty() {
            return Some(format!("{text}: their rows were changed by hand"));
        }
        let lacking: Vec<String> = self.lacking.iter().map(KeyId::to_string).collect();
        let lacking = lacking.join(", ");
        Some(format!("{text}: the key file lacks the keys {lacking}"))
    }
}

/// Logs what the service cannot open of what it reads. It runs all the same: after keys are lost for good, secrets are
/// stored again one by one.
pub(crate) async fn log(database: &Database, keys: &OpeningKeys, kind: Kind) {
    match check(database, keys, columns_of(kind)).await {
        Ok(checked) => {
            if let Some(problem) = checked.problem() {
                error!(
                    problem,
                    action = ACTION,
                    "The keys do not open what is stored"
                );
            }
        }
        Err(error) => warn!(
            error = &error as &dyn std::error::Error,
            "Whether the keys open what is stored could not be checked"
        ),
    }
}

/// Returns what the service's role in Postgres may read.
const fn columns_of(kind: Kind) -> &'static [SealedColumn] {
    use SealedColumn::{AccessToken, ClientSecret, Password, RefreshToken};
    match kind {
        Kind::Admin => &[],
        Kind::AuthCallback | Kind::TokenRefresh => &[ClientSecret, AccessToken, RefreshToken],
        Kind::InboundFetcher | Kind::OutboundSender => &[Password, AccessToken, RefreshToken],
    }
}
