//! Keys that are made on the host, without one: the first, and one in place of a key that was lost.

use std::path::Path;

use anyhow::Context;
use mailmesh_accounts::Replica;
use mailmesh_domain::{ApiKeyId, Clock, Role};
use mailmesh_secrets::SecretString;
use mailmesh_store::Database;
use mailmesh_store::api_key::{self, ApiKey};
use time::Duration;
use tracing::info;

use crate::access::new_key;
use crate::key_file;

/// A key to make.
#[derive(Debug)]
pub struct NewKey {
    /// What it is for.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// For how many days it is accepted; absent: until it is revoked.
    pub valid_days: Option<u32>,
}

impl NewKey {
    fn row(&self, clock: &dyn Clock) -> ApiKey {
        let now = clock.now();
        let valid_days = self
            .valid_days
            .map(|days| now + Duration::days(i64::from(days)));
        ApiKey {
            id: ApiKeyId::generate(clock),
            name: self.name.clone(),
            role: self.role,
            accounts: None,
            may_read_raw: self.role == Role::Administrator,
            made_by: None,
            created_at: now,
            expires_at: valid_days,
            last_used_at: None,
            revoked_at: None,
        }
    }
}

/// Makes a key for whoever has access to the database: how an administrator comes back in whose key was lost.
///
/// # Errors
/// When the database fails.
pub async fn make_key(
    database: &Database,
    clock: &dyn Clock,
    wanted: &NewKey,
) -> anyhow::Result<SecretString> {
    let (key, hash) = new_key();
    let mut tx = database.begin().await?;
    api_key::insert(&mut tx, &wanted.row(clock), &hash).await?;
    tx.commit().await?;
    Ok(key)
}

/// Makes the first administrator's key where there is none; of several processes that start at once, one does. Returns it
/// unless it was written to the file: then it is shown nowhere else.
pub(crate) async fn make_first(
    replica: &Replica,
    file: Option<&Path>,
) -> anyhow::Result<Option<SecretString>> {
    let mut tx = replica.database.begin().await?;
    if api_key::lock_and_check_any(&mut tx).await? {
        return Ok(None);
    }
    let (key, hash) = new_key();
    let wanted = NewKey {
        name: "first administrator".to_owned(),
        role: Role::Administrator,
        valid_days: None,
    };
    api_key::insert(&mut tx, &wanted.row(&*replica.clock), &hash).await?;
    // Before the commit: a key that nobody could read would lock everybody out.
    if let Some(file) = file {
        key_file::write(file, &key).with_context(|| {
            format!(
                "cannot write {}, named by admin.first_key_file",
                file.display()
            )
        })?;
    }
    tx.commit().await?;
    info!(
        file = file.map(|file| file.display().to_string()),
        "The first administrator's API key was made"
    );
    Ok(file.is_none().then_some(key))
}
