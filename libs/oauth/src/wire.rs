use std::fmt;
use std::time::Duration;

use oauth2::{AccessToken, RefreshToken, Scope, TokenResponse, TokenType};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

// Far beyond any token, and small enough to add to a date.
const LONGEST_SECONDS: u64 = 10 * 366 * 86_400;

/// A token answer as providers really write it: only the access token must be as it should.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct WireTokens {
    access_token: AccessToken,
    #[serde(default, deserialize_with = "token_type")]
    token_type: WireTokenType,
    #[serde(default, deserialize_with = "seconds")]
    expires_in: Option<u64>,
    #[serde(default, deserialize_with = "seconds")]
    refresh_token_expires_in: Option<u64>,
    #[serde(default, deserialize_with = "refresh_token")]
    refresh_token: Option<RefreshToken>,
    #[serde(default, deserialize_with = "scopes")]
    scope: Option<Vec<Scope>>,
    #[serde(default, deserialize_with = "id_token")]
    id_token: Option<WireIdToken>,
}

/// The kind of token; `Bearer` when the provider does not say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WireTokenType(String);

impl TokenType for WireTokenType {}

impl Default for WireTokenType {
    fn default() -> Self {
        Self("bearer".to_owned())
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct WireIdToken(String);

impl fmt::Debug for WireIdToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("WireIdToken")
    }
}

impl WireTokens {
    pub(crate) fn is_bearer(&self) -> bool {
        self.token_type.0.eq_ignore_ascii_case("bearer")
    }

    pub(crate) fn refresh_token_expires_in(&self) -> Option<Duration> {
        self.refresh_token_expires_in.map(Duration::from_secs)
    }

    pub(crate) fn id_token(&self) -> Option<&str> {
        self.id_token.as_ref().map(|token| token.0.as_str())
    }
}

impl TokenResponse for WireTokens {
    type TokenType = WireTokenType;

    fn access_token(&self) -> &AccessToken {
        &self.access_token
    }

    fn token_type(&self) -> &WireTokenType {
        &self.token_type
    }

    fn expires_in(&self) -> Option<Duration> {
        self.expires_in.map(Duration::from_secs)
    }

    fn refresh_token(&self) -> Option<&RefreshToken> {
        self.refresh_token.as_ref()
    }

    fn scopes(&self) -> Option<&Vec<Scope>> {
        self.scope.as_ref()
    }
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) if !text.is_empty() => Some(text),
        _ => None,
    })
}

fn token_type<'de, D: Deserializer<'de>>(deserializer: D) -> Result<WireTokenType, D::Error> {
    Ok(text(deserializer)?.map_or_else(WireTokenType::default, WireTokenType))
}

fn refresh_token<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<RefreshToken>, D::Error> {
    Ok(text(deserializer)?.map(RefreshToken::new))
}

fn id_token<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<WireIdToken>, D::Error> {
    Ok(text(deserializer)?.map(WireIdToken))
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
    .and_then(whole_seconds))
}

fn whole_seconds(seconds: f64) -> Option<u64> {
    if seconds.is_nan() {
        return None;
    }
    let longest = Duration::from_secs(LONGEST_SECONDS);
    let duration = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(longest);
    Some(duration.min(longest).as_secs())
}

fn scopes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Scope>>, D::Error> {
    let split = |text: &str| -> Vec<Scope> {
        text.split([' ', ','])
            .filter(|scope| !scope.is_empty())
            .map(|scope| Scope::new(scope.to_owned()))
            .collect()
    };
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => Some(split(&text)),
        Value::Array(items) => Some(
            items
                .iter()
                .filter_map(Value::as_str)
                .flat_map(split)
                .collect(),
        ),
        _ => None,
    }
    .filter(|scopes: &Vec<Scope>| !scopes.is_empty()))
}

#[cfg(test)]
mod tests;
