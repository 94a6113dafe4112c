use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use mailmesh_accounts::Replica;
use mailmesh_domain::{ApiKeyId, Role};
use mailmesh_secrets::{ExposeSecret, SecretString};
use mailmesh_store::api_key::{self, ApiKey};
use tracing::info;

use crate::access::new_key;

/// Makes the first administrator's key where there is none; of several processes that start at once, one does.
pub(crate) async fn make(
    replica: &Replica,
    file: Option<&Path>,
) -> anyhow::Result<Option<SecretString>> {
    let mut tx = replica.database.begin().await?;
    if api_key::lock_and_check_any(&mut tx).await? {
        return Ok(None);
    }
    let (key, hash) = new_key();
    let row = ApiKey {
        id: ApiKeyId::generate(&*replica.clock),
        name: "first administrator".to_owned(),
        role: Role::Administrator,
        created_at: replica.clock.now(),
        revoked_at: None,
    };
    api_key::insert(&mut tx, &row, &hash).await?;
    // Before the commit: a key that nobody could read would lock everybody out.
    if let Some(file) = file {
        write(file, &key).with_context(|| {
            format!(
                "cannot write {}, named by admin.first_key_file",
                file.display()
            )
        })?;
    }
    tx.commit().await?;
    info!("The first administrator's API key was made");
    Ok(Some(key))
}

fn write(file: &Path, key: &SecretString) -> std::io::Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)?;
    writeln!(file, "{}", key.expose_secret())?;
    file.sync_all()
}
