use mailmesh_secrets::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{ClientKey, ClientKeyError};

/// A service account of Google, as its JSON key tells. The `token_uri` in it is not followed: where statements go is decided
/// by the client configuration alone.
#[derive(Debug, Clone)]
pub struct ServiceAccount {
    /// Who signs: its address.
    pub email: String,
    /// The number that an administrator of the tenant delegates to.
    pub client_id: String,
    pub key: ClientKey,
}

#[derive(Deserialize)]
struct KeyFile {
    #[serde(rename = "type")]
    kind: Option<String>,
    /// Where people sign in: Google's file of an OAuth client has one of these two.
    web: Option<IgnoredAny>,
    installed: Option<IgnoredAny>,
    #[serde(default)]
    client_email: String,
    #[serde(default)]
    client_id: String,
    #[serde(default)]
    private_key_id: String,
    #[serde(default)]
    private_key: String,
}

impl ServiceAccount {
    /// Reads the JSON key that Google gives out once.
    ///
    /// # Errors
    /// [`ClientKeyError`], whose text fits behind the field's name.
    pub fn try_new(json: &SecretString) -> Result<Self, ClientKeyError> {
        let file: KeyFile = serde_json::from_str(json.expose_secret())
            .map_err(|_| ClientKeyError::NoServiceAccount)?;
        let private_key = SecretString::from(file.private_key.as_str());
        file.check_kind()?;
        for (field, text) in [
            ("client_email", &file.client_email),
            ("client_id", &file.client_id),
            ("private_key_id", &file.private_key_id),
            ("private_key", &file.private_key),
        ] {
            if text.is_empty() {
                return Err(ClientKeyError::NoField { field });
            }
        }
        let key = ClientKey::try_new(&private_key, None)?;
        if !key.is_rsa() {
            return Err(ClientKeyError::Unusable);
        }
        Ok(Self {
            email: file.client_email,
            client_id: file.client_id,
            key: ClientKey {
                key_id: Some(file.private_key_id),
                ..key
            },
        })
    }
}

impl KeyFile {
    /// Google gives out JSON of several kinds, which are easily confused.
    fn check_kind(&self) -> Result<(), ClientKeyError> {
        let found = match &self.kind {
            Some(kind) if kind == "service_account" => return Ok(()),
            Some(other) => format!("type {}", other.chars().take(40).collect::<String>()),
            None if self.web.is_some() || self.installed.is_some() => {
                "an OAuth client, with which people sign in".to_owned()
            }
            None => "no known type".to_owned(),
        };
        Err(ClientKeyError::OtherJson { found })
    }
}
