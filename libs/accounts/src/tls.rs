use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use mailmesh_mail::{TlsError, client_config};
use rustls::ClientConfig;

/// Maximum private CAs whose configuration is cached; one more clears the cache.
const MOST: usize = 256;

/// TLS configurations that accounts with the same private CA share: each holds the parsed roots and a cache of sessions.
#[derive(Debug, Default)]
pub(crate) struct TlsConfigs {
    known: Mutex<HashMap<String, Arc<ClientConfig>>>,
}

impl TlsConfigs {
    /// Returns the configuration for a private CA, or for the system's roots alone.
    pub(crate) fn get(&self, ca_pem: Option<&str>) -> Result<Arc<ClientConfig>, TlsError> {
        let Some(pem) = ca_pem else {
            return client_config(None);
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = known.get(pem) {
            return Ok(Arc::clone(config));
        }
        let config = client_config(Some(pem))?;
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(pem.to_owned(), Arc::clone(&config));
        Ok(config)
    }
}
