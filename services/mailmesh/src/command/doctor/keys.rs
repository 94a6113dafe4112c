//! The keys that open secrets, tried on secrets that are stored.

use std::io::ErrorKind;

use mailmesh_domain::ErrorChain;
use mailmesh_secrets::{KeysError, OpeningKeys};
use mailmesh_store::Database;
use mailmesh_store::sealed::SealedColumn;

use super::{Finding, Report};
use crate::config::Config;
use crate::key_check;

const WHAT: &str = "the keys that open secrets";

/// Reads the key files. That they open what is stored is told once Postgres has answered.
pub(super) fn read(config: &Config, report: &Report) -> Option<OpeningKeys> {
    let read = config.keys.opening_keys();
    match read.and_then(|keys| config.keys.check_pair().map(|()| keys)) {
        Ok(keys) => Some(keys),
        Err(error) => {
            let problem = ErrorChain(&error).to_string();
            report.tell(&Finding::bad(WHAT, problem, action(&error)));
            None
        }
    }
}

pub(super) async fn open_stored(database: &Database, keys: &OpeningKeys) -> Finding {
    match key_check::check(database, keys, &SealedColumn::ALL).await {
        Ok(checked) => match checked.problem() {
            None => Finding::well(WHAT),
            Some(problem) => Finding::bad(WHAT, problem, key_check::ACTION),
        },
        Err(error) => Finding::bad(WHAT, ErrorChain(&error).to_string(), "See Postgres's log."),
    }
}

/// Nothing here proposes new keys where some have been in use: they open nothing that is stored.
fn action(error: &KeysError) -> &'static str {
    match error {
        KeysError::Missing { .. } => {
            "Name the key file of the services in keys.opening_key_file; for a new mesh `mailmesh keys` makes one."
        }
        KeysError::Read { source, .. } if source.kind() == ErrorKind::PermissionDenied => {
            "Call this as the user who runs the services, or as root."
        }
        KeysError::Read { .. } => "Name the key file that the services use.",
        KeysError::Content { .. } => "Restore the key file from its copy.",
        KeysError::Pair { .. } => {
            "Give admin the sealing.key that belongs to the services' opening.key, and store again what was stored meanwhile."
        }
    }
}
