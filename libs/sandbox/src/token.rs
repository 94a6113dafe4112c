mod ledger;
mod refusal;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mailmesh_domain::Clock;
use serde::Deserialize;
use time::{Duration, OffsetDateTime};

use crate::settings::{ApplicationSettings, Personality};
pub use refusal::{RefreshRefusal, TokenRefusal};

use ledger::{AccessToken, IssuedGrant, IssuedRefreshToken, Ledger, first_resource, narrow};

/// Whom an access token speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenHolder {
    /// The mailbox, in lower case.
    pub address: String,
    /// What was consented to.
    pub scopes: Vec<String>,
    /// An application's token speaks for no mailbox, and opens several.
    application: Option<Arc<ApplicationSettings>>,
}

impl TokenHolder {
    /// Returns whether the token opens a mailbox, its scopes aside.
    pub(crate) fn opens(&self, address: &str) -> bool {
        match &self.application {
            Some(application) => application.may_open(address),
            None => self.address.eq_ignore_ascii_case(address),
        }
    }
}

/// A consent that is about to become tokens.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantRequest {
    /// The mailbox.
    pub address: String,
    pub client_id: String,
    /// What was consented to.
    pub scopes: Vec<String>,
    /// Whether a refresh token is wanted.
    #[serde(default)]
    pub offline: bool,
}

/// What one token request yields.
#[derive(Clone)]
pub struct TokenSet {
    /// The consent behind it.
    pub grant: u64,
    /// The mailbox.
    pub address: String,
    pub access_token: String,
    /// Its life.
    pub expires_in_seconds: u64,
    /// A refresh token, when this personality gives one now.
    pub refresh_token: Option<String>,
    /// The scopes of the access token.
    pub scopes: Vec<String>,
}

impl fmt::Debug for TokenSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TokenSet")
            .field("grant", &self.grant)
            .field("expires_in_seconds", &self.expires_in_seconds)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

/// Every token the provider ever gave; clones share it.
#[derive(Clone)]
pub struct TokenBook {
    shared: Arc<TokenBookState>,
}

struct TokenBookState {
    clock: Arc<dyn Clock>,
    personality: Personality,
    access_seconds: AtomicU64,
    ledger: Mutex<Ledger>,
}

impl TokenBook {
    /// Makes an empty book.
    pub fn new(clock: Arc<dyn Clock>, personality: Personality, access_seconds: u64) -> Self {
        Self {
            shared: Arc::new(TokenBookState {
                clock,
                personality,
                access_seconds: AtomicU64::new(access_seconds),
                ledger: Mutex::new(Ledger::default()),
            }),
        }
    }

    /// Returns whom an access token speaks for.
    pub fn check_access(&self, token: &str) -> Result<TokenHolder, TokenRefusal> {
        let ledger = self.lock();
        let access = ledger.access.get(token).ok_or(TokenRefusal::Unknown)?;
        let grant = ledger
            .grants
            .get(&access.grant)
            .ok_or(TokenRefusal::Unknown)?;
        if grant.revoked {
            return Err(TokenRefusal::Revoked);
        }
        if access.expires_at <= self.shared.clock.now() {
            return Err(TokenRefusal::Expired);
        }
        Ok(TokenHolder {
            address: grant.address.to_string(),
            scopes: access.scopes.to_vec(),
            application: grant.application.clone(),
        })
    }

    /// Starts a grant and gives its first tokens.
    pub fn issue(&self, request: &GrantRequest) -> TokenSet {
        let mut ledger = self.lock();
        ledger.last_grant += 1;
        let grant = ledger.last_grant;
        let entry = IssuedGrant {
            client_id: request.client_id.clone(),
            address: request.address.to_ascii_lowercase().into(),
            scopes: request.scopes.clone().into(),
            application: None,
            revoked: false,
        };
        let (address, scopes) = (Arc::clone(&entry.address), Arc::clone(&entry.scopes));
        ledger.grants.insert(grant, entry);
        if request.offline && self.shared.personality == Personality::Google {
            ledger.cap_offline(&request.client_id, &address, grant);
        }
        let refresh_token = request
            .offline
            .then(|| self.add_refresh(&mut ledger, grant));
        self.add_access(&mut ledger, grant, &address, scopes, refresh_token)
    }

    /// Gives a token to a client in its own name.
    pub(crate) fn issue_to_application(&self, application: Arc<ApplicationSettings>) -> TokenSet {
        let mut ledger = self.lock();
        ledger.last_grant += 1;
        let grant = ledger.last_grant;
        let scopes: Arc<[String]> = application.scopes.clone().into();
        let entry = IssuedGrant {
            client_id: application.client_id.clone(),
            address: "".into(),
            scopes: Arc::clone(&scopes),
            application: Some(application),
            revoked: false,
        };
        ledger.grants.insert(grant, entry);
        self.add_access(&mut ledger, grant, "", scopes, None)
    }

    /// Gives new tokens for a refresh token, with the personality's rotation.
    pub fn refresh(
        &self,
        refresh_token: &str,
        client_id: &str,
        scopes: Option<&[String]>,
    ) -> Result<TokenSet, RefreshRefusal> {
        let mut ledger = self.lock();
        let (number, used) = ledger
            .refresh
            .get(refresh_token)
            .map(|token| (token.grant, token.used))
            .ok_or(RefreshRefusal::Unknown)?;
        let grant = ledger
            .grants
            .get_mut(&number)
            .ok_or(RefreshRefusal::Unknown)?;
        if grant.client_id != client_id {
            return Err(RefreshRefusal::WrongClient);
        }
        if grant.revoked {
            return Err(RefreshRefusal::Revoked);
        }
        if used && self.shared.personality == Personality::Standard {
            grant.revoked = true;
            return Err(RefreshRefusal::Reused);
        }
        let narrowed = narrow(&grant.scopes, scopes)?;
        let address = Arc::clone(&grant.address);
        let rotated = match self.shared.personality {
            Personality::Google => None,
            Personality::Microsoft | Personality::Standard => {
                if let Some(token) = ledger.refresh.get_mut(refresh_token) {
                    token.used = true;
                }
                Some(self.add_refresh(&mut ledger, number))
            }
        };
        Ok(self.add_access(&mut ledger, number, &address, narrowed, rotated))
    }

    /// Returns whom a live refresh token speaks for.
    pub fn check_refresh(&self, token: &str) -> Option<TokenHolder> {
        let ledger = self.lock();
        let refresh = ledger.refresh.get(token)?;
        let grant = ledger.grants.get(&refresh.grant)?;
        let replaced = refresh.used && self.shared.personality == Personality::Standard;
        (!grant.revoked && !replaced).then(|| TokenHolder {
            address: grant.address.to_string(),
            scopes: grant.scopes.to_vec(),
            application: grant.application.clone(),
        })
    }

    /// Returns the moment an access token ends, dead or alive.
    pub fn find_expiry(&self, access_token: &str) -> Option<OffsetDateTime> {
        self.lock()
            .access
            .get(access_token)
            .map(|token| token.expires_at)
    }

    /// Returns the client and the mailbox a token of either kind was issued to.
    pub fn find_owner(&self, token: &str) -> Option<(String, String)> {
        let ledger = self.lock();
        let grant = ledger.grants.get(&ledger.find_grant(token)?)?;
        Some((grant.client_id.clone(), grant.address.to_string()))
    }

    /// Revokes the grant behind a token of either kind; at Google, every grant of that mailbox.
    pub fn revoke(&self, token: &str) -> bool {
        let mut ledger = self.lock();
        let Some(number) = ledger.find_grant(token) else {
            return false;
        };
        let address = ledger
            .grants
            .get(&number)
            .map(|grant| Arc::clone(&grant.address));
        for (id, grant) in &mut ledger.grants {
            let sibling = self.shared.personality == Personality::Google
                && address.as_ref() == Some(&grant.address);
            if *id == number || sibling {
                grant.revoked = true;
            }
        }
        true
    }

    /// Revokes one grant.
    pub fn revoke_grant(&self, grant: u64) {
        if let Some(grant) = self.lock().grants.get_mut(&grant) {
            grant.revoked = true;
        }
    }

    /// Revokes every grant of a mailbox; returns how many were live.
    pub fn revoke_address(&self, address: &str) -> usize {
        let mut ledger = self.lock();
        let live = ledger
            .grants
            .values_mut()
            .filter(|grant| !grant.revoked && grant.address.eq_ignore_ascii_case(address));
        live.map(|grant| grant.revoked = true).count()
    }

    /// Ends the life of every access token of a mailbox, or of an application by its client id; returns how many were live.
    pub fn expire_access(&self, address: &str) -> usize {
        let now = self.shared.clock.now();
        let mut ledger = self.lock();
        let Ledger { grants, access, .. } = &mut *ledger;
        access
            .values_mut()
            .filter(|token| {
                token.expires_at > now
                    && grants
                        .get(&token.grant)
                        .is_some_and(|grant| grant.is_of(address))
            })
            .map(|token| token.expires_at = now)
            .count()
    }

    /// Changes the life of access tokens issued from now on.
    pub fn set_access_seconds(&self, seconds: u64) {
        self.shared.access_seconds.store(seconds, Ordering::Relaxed);
    }

    fn add_access(
        &self,
        ledger: &mut Ledger,
        grant: u64,
        address: &str,
        scopes: Arc<[String]>,
        refresh_token: Option<String>,
    ) -> TokenSet {
        let now = self.shared.clock.now();
        ledger.prune(now);
        let scopes = match self.shared.personality {
            Personality::Microsoft => first_resource(&scopes),
            Personality::Google | Personality::Standard => scopes,
        };
        let seconds = self.shared.access_seconds.load(Ordering::Relaxed);
        let access_token = match self.shared.personality {
            Personality::Google => format!("ya29.{}", random_text::<768>()),
            Personality::Microsoft => format!("EwB4{}", random_text::<768>()),
            Personality::Standard => random_text::<24>(),
        };
        let set = TokenSet {
            grant,
            address: address.to_owned(),
            access_token: access_token.clone(),
            expires_in_seconds: seconds,
            refresh_token,
            scopes: scopes.to_vec(),
        };
        let life = Duration::seconds(i64::try_from(seconds).unwrap_or(i64::from(u32::MAX)));
        let token = AccessToken {
            grant,
            scopes,
            expires_at: now.saturating_add(life),
        };
        ledger.access.insert(access_token, token);
        set
    }

    fn add_refresh(&self, ledger: &mut Ledger, grant: u64) -> String {
        let token = match self.shared.personality {
            Personality::Google => format!("1//0{}", random_text::<60>()),
            Personality::Microsoft => format!("M.C5_{}", random_text::<300>()),
            Personality::Standard => random_text::<32>(),
        };
        let entry = IssuedRefreshToken { grant, used: false };
        ledger.refresh.insert(token.clone(), entry);
        token
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.shared
            .ledger
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for TokenBook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TokenBook")
            .field("personality", &self.shared.personality)
            .finish_non_exhaustive()
    }
}

/// Returns `BYTES` unpredictable bytes as URL-safe text.
pub(crate) fn random_text<const BYTES: usize>() -> String {
    URL_SAFE_NO_PAD.encode(random_bytes::<BYTES>())
}

/// Returns unpredictable bytes.
pub(crate) fn random_bytes<const BYTES: usize>() -> [u8; BYTES] {
    let mut bytes = [0_u8; BYTES];
    // Cannot fail in practice: the generator is seeded by the operating system and reseeds itself.
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        tracing::error!("No randomness");
    }
    bytes
}

#[cfg(test)]
mod tests;
