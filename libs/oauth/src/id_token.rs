pub(crate) mod error;

use jsonwebtoken::jwk::{Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Validation};
use mailmesh_secrets::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::client::Client;
use crate::endpoints::Endpoints;
use crate::error::OAuthError;
use crate::http::HttpClient;
use crate::keys::find_keys;

pub use error::IdTokenError;

pub(crate) type Claims = Map<String, Value>;

const SKEW_SECONDS: i64 = 120;

/// Checks an id token in every respect and returns its claims.
pub(crate) async fn verify(
    http: &HttpClient,
    endpoints: &Endpoints,
    client: &Client,
    token: &SecretString,
    nonce: Option<&str>,
    now: OffsetDateTime,
) -> Result<Claims, OAuthError> {
    let token = token.expose_secret();
    let header =
        jsonwebtoken::decode_header(token).map_err(|_| refused(IdTokenError::Algorithm))?;
    // RFC 7515 §4.1.11: what is critical and not understood must be refused.
    if header.crit.is_some() {
        return Err(refused(IdTokenError::Malformed));
    }
    // RFC 8725 §2.1: the public key, which anybody has, would be taken for an HMAC secret.
    if header.alg.family() == AlgorithmFamily::Hmac {
        return Err(refused(IdTokenError::Algorithm));
    }
    let claims = match &endpoints.jwks {
        Some(jwks) => {
            let keys = find_keys(http, jwks, header.kid.as_deref()).await?;
            signed_claims(token, header.alg, &keys).map_err(refused)?
        }
        // OpenID Connect Core 3.1.3.7 (6): TLS to the token endpoint vouches for what came from
        // there. Only for providers set up by hand without a key set.
        None => jsonwebtoken::dangerous::insecure_decode_claims(token)
            .map_err(|_| refused(IdTokenError::Malformed))?,
    };
    check_claims(&claims, endpoints, client, nonce, now).map_err(refused)?;
    Ok(claims)
}

const fn refused(error: IdTokenError) -> OAuthError {
    OAuthError::IdToken(error)
}

fn signed_claims(token: &str, algorithm: Algorithm, keys: &[Jwk]) -> Result<Claims, IdTokenError> {
    let mut outcome = Err(IdTokenError::UnknownKey);
    // The claims are checked against a moment that is passed in; the crate would ask the clock.
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    for key in keys.iter().filter(|key| may_sign(key, algorithm)) {
        let Ok(key) = DecodingKey::from_jwk(key) else {
            continue;
        };
        if key.family() != algorithm.family() {
            continue;
        }
        match jsonwebtoken::decode::<Claims>(token, &key, &validation) {
            Ok(decoded) => return Ok(decoded.claims),
            Err(_) => outcome = Err(IdTokenError::Signature),
        }
    }
    outcome
}

fn may_sign(key: &Jwk, algorithm: Algorithm) -> bool {
    let is_for_signing = !matches!(key.common.public_key_use, Some(PublicKeyUse::Encryption));
    let fits = match key.common.key_algorithm {
        Some(named) => named == KeyAlgorithm::from(algorithm),
        None => true,
    };
    is_for_signing && fits
}

fn check_claims(
    claims: &Claims,
    endpoints: &Endpoints,
    client: &Client,
    nonce: Option<&str>,
    now: OffsetDateTime,
) -> Result<(), IdTokenError> {
    let text = |name| claims.get(name).and_then(Value::as_str);
    let issuer = text("iss").ok_or(IdTokenError::Issuer)?;
    if let Some(expected) = &endpoints.issuer
        && !is_issuer(expected, issuer, text("tid"))
    {
        return Err(IdTokenError::Issuer);
    }
    check_audience(claims, &client.client_id)?;

    let now = now.unix_timestamp();
    let expires = seconds(claims, "exp").ok_or(IdTokenError::Expired)?;
    if expires.saturating_add(SKEW_SECONDS) <= now {
        return Err(IdTokenError::Expired);
    }
    let latest = now.saturating_add(SKEW_SECONDS);
    let made = seconds(claims, "iat").ok_or(IdTokenError::NotYet)?;
    if made > latest || seconds(claims, "nbf").is_some_and(|from| from > latest) {
        return Err(IdTokenError::NotYet);
    }
    if nonce.is_some() && text("nonce") != nonce {
        return Err(IdTokenError::Nonce);
    }
    text("sub")
        .filter(|subject| !subject.is_empty() && subject.len() <= 255)
        .map(|_| ())
        .ok_or(IdTokenError::Subject)
}

fn check_audience(claims: &Claims, client_id: &str) -> Result<(), IdTokenError> {
    let audiences: Vec<&str> = match claims.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    // OpenID Connect Core 3.1.3.7 (4), (5): with several audiences `azp` names the one that it is for.
    let party = claims.get("azp").and_then(Value::as_str);
    let is_party = party.map_or(audiences.len() == 1, |party| party == client_id);
    if audiences.contains(&client_id) && is_party {
        Ok(())
    } else {
        Err(IdTokenError::Audience)
    }
}

fn seconds(claims: &Claims, name: &str) -> Option<i64> {
    let value = claims.get(name)?;
    // Some providers write times with a fraction.
    value.as_i64().or_else(|| {
        let moment = time::Duration::checked_seconds_f64(value.as_f64()?)?;
        Some(moment.whole_seconds())
    })
}

/// Returns whether `answered` is the issuer that `expected` names.
pub(crate) fn is_issuer(expected: &str, answered: &str, tenant: Option<&str>) -> bool {
    if let Some((before, after)) = expected.split_once("{tenantid}") {
        let named = answered
            .strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(after));
        // Microsoft's rule: the issuer of a common endpoint is the token's own tenant.
        return named.is_some_and(|named| {
            let is_segment = !named.is_empty() && !named.contains('/');
            is_segment && tenant.is_none_or(|tenant| tenant == named)
        });
    }
    // Google signs under its name with and without the scheme.
    answered == expected
        || (expected == "https://accounts.google.com" && answered == "accounts.google.com")
}
