use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use futures_util::future::BoxFuture;
use mailmesh_domain::{AccountId, Direction, GrantId, History};
use mailmesh_store::account::Account;
use mailmesh_store::account_status::StoredState;
use mailmesh_store::grant::Grant;
use mailmesh_store::lease::{self, LeaseTerm};
use mailmesh_store::mailbox::Cursor;
use mailmesh_store::{StoreError, account, account_status, grant, mailbox};

use crate::Replica;

/// Stored state of an account with which its worker starts.
#[derive(Debug)]
pub struct AccountSnapshot {
    pub account: Account,
    /// Under which its worker records the account's state.
    pub term: LeaseTerm,
    /// Last recorded state.
    pub state: Option<StoredState>,
    /// The server has let it in, or has taken its mail, at some time.
    pub has_worked: bool,
    pub grant: Option<Grant>,
    /// Empty for an outbound account.
    pub cursors: Vec<Cursor>,
}

impl AccountSnapshot {
    /// Returns how the account has fared before its worker began.
    pub fn history(&self) -> History {
        History {
            has_worked: self.has_worked,
            failing_for: Duration::ZERO,
            is_app: self.grant.as_ref().is_some_and(|grant| grant.flow.is_app()),
        }
    }

    /// Loads many accounts with seven queries; leaves out those whose lease the replica does not hold.
    ///
    /// # Errors
    /// When the database fails.
    pub fn load_many<'a>(
        replica: &'a Replica,
        direction: Direction,
        ids: &'a [AccountId],
    ) -> BoxFuture<'a, Result<Vec<Self>, StoreError>> {
        Box::pin(async move {
            let mut tx = replica.database.begin().await?;
            let terms = lease::list_terms(&mut tx, replica.id, ids).await?;
            let accounts = account::list_by_ids(&mut tx, ids).await?;
            // Before the cursors, as an earlier owner may record in between.
            let states = account_status::list_stored(&mut tx, ids).await?;
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
            let proved = account_status::list_proved(&mut tx, ids).await?;
            tx.commit().await?;
            let terms = terms.into_iter().map(|one| (one.account_id, one)).collect();
            let states = states.into_iter().collect();
            let mut snapshots = assemble(accounts, &terms, states, &grants, cursors);
            for snapshot in &mut snapshots {
                snapshot.has_worked = proved.contains(&snapshot.account.id);
            }
            Ok(snapshots)
        })
    }
}

fn assemble(
    accounts: Vec<Account>,
    terms: &HashMap<AccountId, LeaseTerm>,
    mut states: HashMap<AccountId, StoredState>,
    grants: &[Grant],
    cursors: Vec<Cursor>,
) -> Vec<AccountSnapshot> {
    let grants: HashMap<GrantId, &Grant> = grants.iter().map(|grant| (grant.id, grant)).collect();
    let mut cursors_of: HashMap<AccountId, Vec<Cursor>> = HashMap::new();
    for cursor in cursors {
        let of_account = cursors_of.entry(cursor.account_id).or_default();
        of_account.push(cursor);
    }
    let snapshot = |account: Account| {
        Some(AccountSnapshot {
            term: *terms.get(&account.id)?,
            state: states.remove(&account.id),
            has_worked: false,
            grant: account
                .grant_id
                .and_then(|id| grants.get(&id).copied().cloned()),
            cursors: cursors_of.remove(&account.id).unwrap_or_default(),
            account,
        })
    };
    accounts.into_iter().filter_map(snapshot).collect()
}
