use std::collections::{BTreeSet, HashMap};

use futures_util::future::BoxFuture;
use mailmesh_domain::{AccountId, Direction, GrantId};
use mailmesh_store::account::Account;
use mailmesh_store::account_status::AccountStatus;
use mailmesh_store::grant::Grant;
use mailmesh_store::mailbox::Cursor;
use mailmesh_store::{Database, StoreError, account, account_status, grant, mailbox};

/// Stored state of an account with which its worker starts.
#[derive(Debug)]
pub struct AccountSnapshot {
    pub account: Account,
    /// Last recorded state; none before its first worker.
    pub status: Option<AccountStatus>,
    pub grant: Option<Grant>,
    /// Empty for an outbound account.
    pub cursors: Vec<Cursor>,
}

impl AccountSnapshot {
    /// Loads many accounts with four queries.
    ///
    /// # Errors
    /// When the database fails.
    pub fn load_many<'a>(
        database: &'a Database,
        direction: Direction,
        ids: &'a [AccountId],
    ) -> BoxFuture<'a, Result<Vec<Self>, StoreError>> {
        Box::pin(async move {
            let mut tx = database.begin().await?;
            let accounts = account::list_by_ids(&mut tx, ids).await?;
            // Before the cursors, as an earlier owner may record in between.
            let statuses = account_status::list_by_ids(&mut tx, ids).await?;
            let grant_ids: BTreeSet<GrantId> = accounts
                .iter()
                .filter_map(|account| account.grant_id)
                .collect();
            let grant_ids: Vec<GrantId> = grant_ids.into_iter().collect();
            let grants = grant::list_by_ids(&mut tx, &grant_ids).await?;
            let cursors = match direction {
                Direction::Inbound => mailbox::list_cursors(&mut tx, ids).await?,
                Direction::Outbound => Vec::new(),
            };
            tx.commit().await?;
            Ok(assemble(accounts, statuses, &grants, cursors))
        })
    }
}

fn assemble(
    accounts: Vec<Account>,
    statuses: Vec<AccountStatus>,
    grants: &[Grant],
    cursors: Vec<Cursor>,
) -> Vec<AccountSnapshot> {
    let statuses = statuses.into_iter();
    let mut statuses: HashMap<_, _> = statuses.map(|one| (one.account_id, one)).collect();
    let grants: HashMap<GrantId, &Grant> = grants.iter().map(|grant| (grant.id, grant)).collect();
    let mut cursors_of: HashMap<AccountId, Vec<Cursor>> = HashMap::new();
    for cursor in cursors {
        let of_account = cursors_of.entry(cursor.account_id).or_default();
        of_account.push(cursor);
    }
    let snapshot = |account: Account| AccountSnapshot {
        status: statuses.remove(&account.id),
        grant: account
            .grant_id
            .and_then(|id| grants.get(&id).copied().cloned()),
        cursors: cursors_of.remove(&account.id).unwrap_or_default(),
        account,
    };
    accounts.into_iter().map(snapshot).collect()
}
