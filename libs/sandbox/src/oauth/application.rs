use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use time::OffsetDateTime;

use crate::settings::ApplicationSettings;

const PRUNE_FROM: usize = 1_024;

/// What clients may do in their own name, and the statements of theirs that were used.
#[derive(Debug, Default)]
pub(crate) struct ApplicationBook {
    applications: RwLock<BTreeMap<String, Arc<ApplicationSettings>>>,
    used: Mutex<HashMap<String, OffsetDateTime>>,
}

impl ApplicationBook {
    /// Sets what a client may do, in place of what it could before.
    pub(crate) fn register(&self, application: ApplicationSettings) {
        self.applications
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(application.client_id.clone(), Arc::new(application));
    }

    pub(super) fn find(&self, client_id: &str) -> Option<Arc<ApplicationSettings>> {
        self.applications
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(client_id)
            .cloned()
    }

    /// Notes the use of a statement until its end; returns whether it is the first.
    pub(super) fn use_once(&self, id: &str, ends_at: OffsetDateTime, now: OffsetDateTime) -> bool {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() >= PRUNE_FROM {
            used.retain(|_, ends_at| *ends_at > now);
        }
        used.insert(id.to_owned(), ends_at).is_none()
    }
}
