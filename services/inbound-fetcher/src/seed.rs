use std::collections::{BTreeSet, HashMap};

use mailmesh_domain::{AccountId, GrantId};
use mailmesh_store::account::Account;
use mailmesh_store::account_status::AccountStatus;
use mailmesh_store::grant::Grant;
use mailmesh_store::mailbox::Cursor;
use mailmesh_store::{StoreError, account, account_status, grant, mailbox};

use crate::context::Context;

/// Everything that is loaded of an account at once with others.
#[derive(Debug)]
pub(crate) struct Seed {
    pub(crate) account: Account,
    pub(crate) status: Option<AccountStatus>,
    pub(crate) grant: Option<Grant>,
    pub(crate) cursors: Vec<Cursor>,
}

/// Loads what is known of many accounts, with four queries for all of them.
pub(crate) async fn load(context: &Context, ids: &[AccountId]) -> Result<Vec<Seed>, StoreError> {
    let mut tx = context.replica.database.begin().await?;
    let accounts = account::list_by_ids(&mut tx, ids).await?;
    // Before the cursors, as an earlier owner may record in between.
    let statuses = account_status::list_by_ids(&mut tx, ids).await?;
    let grant_ids: BTreeSet<GrantId> = accounts
        .iter()
        .filter_map(|account| account.grant_id)
        .collect();
    let grant_ids: Vec<GrantId> = grant_ids.into_iter().collect();
    let grants = grant::list_by_ids(&mut tx, &grant_ids).await?;
    let cursors = mailbox::list_cursors(&mut tx, ids).await?;
    tx.commit().await?;

    let mut statuses: HashMap<_, _> = statuses
        .into_iter()
        .map(|status| (status.account_id, status))
        .collect();
    let grants: HashMap<_, _> = grants.into_iter().map(|grant| (grant.id, grant)).collect();
    let mut cursors_of: HashMap<AccountId, Vec<_>> = HashMap::new();
    for cursor in cursors {
        cursors_of
            .entry(cursor.account_id)
            .or_default()
            .push(cursor);
    }
    let seed = |account: Account| Seed {
        status: statuses.remove(&account.id),
        grant: account.grant_id.and_then(|id| grants.get(&id).cloned()),
        cursors: cursors_of.remove(&account.id).unwrap_or_default(),
        account,
    };
    Ok(accounts.into_iter().map(seed).collect())
}
