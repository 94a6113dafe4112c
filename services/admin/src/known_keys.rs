use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mailmesh_domain::Role;
use tokio::time::Instant;

/// A key that was revoked at another replica is accepted for so long at most.
const BELIEVED_FOR: Duration = Duration::from_secs(5);

/// The roles of keys that were looked up a moment ago.
#[derive(Debug, Default)]
pub(crate) struct KnownKeys {
    roles: Mutex<HashMap<[u8; 32], (Instant, Role)>>,
}

impl KnownKeys {
    pub(crate) fn find(&self, hash: &[u8; 32]) -> Option<Role> {
        let roles = self.roles.lock().unwrap_or_else(PoisonError::into_inner);
        let (found_at, role) = roles.get(hash)?;
        (found_at.elapsed() < BELIEVED_FOR).then_some(*role)
    }

    pub(crate) fn remember(&self, hash: [u8; 32], role: Role) {
        let mut roles = self.roles.lock().unwrap_or_else(PoisonError::into_inner);
        roles.retain(|_, (found_at, _)| found_at.elapsed() < BELIEVED_FOR);
        roles.insert(hash, (Instant::now(), role));
    }

    pub(crate) fn forget(&self) {
        let mut roles = self.roles.lock().unwrap_or_else(PoisonError::into_inner);
        roles.clear();
    }
}
