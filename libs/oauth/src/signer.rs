use std::sync::Arc;

use mailmesh_domain::Clock;
use mailmesh_secrets::{ExposeSecret, SecretString, random_token};
use serde_json::{Map, Value, json};
use url::Url;

use crate::client_key::{ClientKey, ClientKeyError, ServiceAccount};

/// Statements begin this long ago, for receivers whose clock is behind.
const SKEW_SECONDS: i64 = 60;
/// Entra wants five to ten minutes.
const PROOF_SECONDS: i64 = 5 * 60;
/// The most that Google accepts from beginning to end.
const MAILBOX_SECONDS: i64 = 60 * 60;
const ID_BYTES: usize = 16;

/// Signs what a client states of itself (RFC 7523).
#[derive(Debug, Clone)]
pub struct Signer {
    key: ClientKey,
    /// Who states it; the client id when absent.
    issuer: Option<String>,
    clock: Arc<dyn Clock>,
}

impl Signer {
    /// Signs as the client.
    pub fn new(key: ClientKey, clock: Arc<dyn Clock>) -> Self {
        Self {
            key,
            issuer: None,
            clock,
        }
    }

    /// Signs as a service account.
    pub fn of_service_account(account: ServiceAccount, clock: Arc<dyn Clock>) -> Self {
        Self {
            key: account.key,
            issuer: Some(account.email),
            clock,
        }
    }

    /// Returns the proof that the client itself makes a request (§2.2, §3).
    pub(crate) fn prove_client(
        &self,
        client_id: &str,
        token_endpoint: &Url,
    ) -> Result<SecretString, ClientKeyError> {
        let issuer = self.issuer.as_deref().unwrap_or(client_id);
        let mut claims = self.claims(issuer, issuer, token_endpoint, PROOF_SECONDS);
        // A receiver may refuse the same statement a second time.
        let id = random_token(ID_BYTES);
        claims.insert("jti".to_owned(), json!(id.expose_secret()));
        self.key.sign(&claims)
    }

    /// Returns the statement that the client acts for a mailbox (§2.1). The scopes stand in it as Google wants them, which knows no
    /// parameter for them.
    pub(crate) fn act_for(
        &self,
        login: &str,
        client_id: &str,
        token_endpoint: &Url,
        scopes: &[String],
    ) -> Result<SecretString, ClientKeyError> {
        let issuer = self.issuer.as_deref().unwrap_or(client_id);
        let mut claims = self.claims(
            issuer,
            login,
            token_endpoint,
            MAILBOX_SECONDS - SKEW_SECONDS,
        );
        claims.insert("scope".to_owned(), json!(scopes.join(" ")));
        self.key.sign(&claims)
    }

    fn claims(
        &self,
        issuer: &str,
        subject: &str,
        audience: &Url,
        seconds: i64,
    ) -> Map<String, Value> {
        let now = self.clock.now().unix_timestamp();
        let mut claims = Map::new();
        let mut state = |name: &str, value: Value| {
            claims.insert(name.to_owned(), value);
        };
        state("iss", json!(issuer));
        state("sub", json!(subject));
        state("aud", json!(audience.as_str()));
        state("iat", json!(now - SKEW_SECONDS));
        state("nbf", json!(now - SKEW_SECONDS));
        state("exp", json!(now + seconds));
        claims
    }
}
