use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use url::Url;

use super::failure::TokenFailure;
use super::fields::FormFields;
use crate::settings::ClientSettings;

/// A redirect URI that no browser could follow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("redirect URI {uri} of client {client_id} is not an absolute URL without fragment")]
pub struct InvalidRedirectUri {
    pub client_id: String,
    /// The URI as it was given.
    pub uri: String,
}

/// The registered clients.
#[derive(Debug, Default)]
pub(crate) struct ClientBook {
    clients: RwLock<BTreeMap<String, Arc<ClientSettings>>>,
}

impl ClientBook {
    /// Registers a client, in place of one with the same id.
    pub(crate) fn register(&self, client: ClientSettings) -> Result<(), InvalidRedirectUri> {
        let invalid = client.redirect_uris.iter().find(|uri| {
            Url::parse(uri).map_or(true, |url| {
                url.cannot_be_a_base() || url.fragment().is_some()
            })
        });
        if let Some(uri) = invalid {
            return Err(InvalidRedirectUri {
                client_id: client.client_id.clone(),
                uri: uri.clone(),
            });
        }
        self.clients
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(client.client_id.clone(), Arc::new(client));
        Ok(())
    }

    pub(crate) fn find(&self, client_id: &str) -> Option<Arc<ClientSettings>> {
        self.clients
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(client_id)
            .cloned()
    }

    pub(crate) fn remove(&self, client_id: &str) -> bool {
        self.clients
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(client_id)
            .is_some()
    }

    pub(crate) fn list(&self) -> Vec<Arc<ClientSettings>> {
        self.clients
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    /// Returns the client that made a request, by its header or by its form fields, never by both.
    pub(super) fn authenticate(
        &self,
        headers: &HeaderMap,
        fields: &FormFields,
    ) -> Result<Arc<ClientSettings>, TokenFailure> {
        let basic = headers
            .get("authorization")
            .map(|value| parse_basic(value.as_bytes()).ok_or(TokenFailure::MalformedBasic))
            .transpose()?;
        let posted = fields.get("client_secret");
        let (client_id, secret) = match (&basic, posted) {
            (Some(_), Some(_)) => return Err(TokenFailure::TwoAuthentications),
            (Some((client_id, secret)), None) => (client_id.as_str(), Some(secret.as_str())),
            (None, posted) => {
                let client_id = fields.get("client_id");
                (client_id.ok_or(TokenFailure::Missing("client_id"))?, posted)
            }
        };
        let client = self.find(client_id).ok_or(TokenFailure::UnknownClient)?;
        match secret {
            None if !client.client_secret.is_empty() => Err(TokenFailure::MissingSecret),
            Some(secret) if secret != client.client_secret => Err(TokenFailure::WrongSecret),
            _ => Ok(client),
        }
    }
}

/// Reads `client_secret_basic`, whose halves are form-encoded before base64 (RFC 6749 §2.3.1).
fn parse_basic(value: &[u8]) -> Option<(String, String)> {
    let value = std::str::from_utf8(value).ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (client_id, secret) = decoded.split_once(':')?;
    Some((decode_form(client_id)?, decode_form(secret)?))
}

fn decode_form(text: &str) -> Option<String> {
    // `&` and `=` cannot stand in an encoded half, so the parser sees one nameless value.
    let pair = format!("v={text}");
    let (_, value) = url::form_urlencoded::parse(pair.as_bytes()).next()?;
    Some(value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_halves_are_form_decoded() {
        let header = format!("Basic {}", STANDARD.encode("mesh%3A1:s%26cret+%2B"));

        let (client_id, secret) = parse_basic(header.as_bytes()).unwrap();

        assert_eq!(
            (client_id.as_str(), secret.as_str()),
            ("mesh:1", "s&cret +")
        );
    }

    #[test]
    fn redirect_uri_with_fragment_is_refused() {
        let client = |uri: &str| ClientSettings {
            client_id: "mesh".to_owned(),
            client_secret: String::new(),
            redirect_uris: vec![uri.to_owned()],
        };
        let book = ClientBook::default();

        assert!(book.register(client("https://mesh.test/cb#x")).is_err());
        assert!(book.register(client("/cb")).is_err());
        assert!(book.register(client("https://mesh.test/cb?a=b")).is_ok());
    }
}
