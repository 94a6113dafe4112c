//! What clients sign (RFC 7523), and the proof of a client by it.

use std::sync::Arc;

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::ProviderState;
use super::failure::TokenFailure;
use super::fields::FormFields;
use crate::settings::{ClientSettings, Personality};

const JWT_PROOF: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// Entra and others take a proof that lives longer for a mistake.
const LONGEST_SECONDS: i64 = 15 * 60;
const SKEW_SECONDS: i64 = 120;

/// A signed statement that is not checked yet.
pub(super) struct Statement<'a> {
    text: &'a str,
    header: Header,
    claims: Map<String, Value>,
}

impl<'a> Statement<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self, TokenFailure> {
        let bad = |_| TokenFailure::BadStatement;
        Ok(Self {
            text,
            header: jsonwebtoken::decode_header(text).map_err(bad)?,
            claims: jsonwebtoken::dangerous::insecure_decode_claims(text).map_err(bad)?,
        })
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.claims.get(name)?.as_str()
    }

    /// Checks it with the registered public key or certificate, in PEM.
    pub(super) fn check_signature(&self, public_key: &str) -> Result<(), TokenFailure> {
        let algorithm = self.header.alg;
        let key = match algorithm {
            Algorithm::RS256 | Algorithm::PS256 => DecodingKey::from_rsa_pem(public_key.as_bytes()),
            Algorithm::ES256 => DecodingKey::from_ec_pem(public_key.as_bytes()),
            _ => return Err(TokenFailure::BadStatement),
        };
        let mut validation = Validation::new(algorithm);
        // Times are compared with the sandbox's own clock, which tests move.
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        let is_signed = key.is_ok_and(|key| {
            jsonwebtoken::decode::<Map<String, Value>>(self.text, &key, &validation).is_ok()
        });
        if is_signed && self.names(public_key) {
            Ok(())
        } else {
            Err(TokenFailure::WrongKey)
        }
    }

    /// A thumbprint that is given must be the certificate's.
    fn names(&self, public_key: &str) -> bool {
        let Some(given) = &self.header.x5t_s256 else {
            return true;
        };
        let Ok(certificate) = CertificateDer::from_pem_slice(public_key.as_bytes()) else {
            return true;
        };
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &certificate);
        *given == URL_SAFE_NO_PAD.encode(digest)
    }

    pub(super) fn check_time(&self, now: OffsetDateTime, longest: i64) -> Result<(), TokenFailure> {
        let moment = |name: &str| self.claims.get(name).and_then(Value::as_i64);
        let now = now.unix_timestamp();
        let (Some(begins), Some(ends)) = (moment("iat"), moment("exp")) else {
            return Err(TokenFailure::UntimelyStatement);
        };
        let is_timely = begins <= now + SKEW_SECONDS
            && moment("nbf").is_none_or(|from| from <= now + SKEW_SECONDS)
            && ends > now
            && ends - begins <= longest;
        if is_timely {
            Ok(())
        } else {
            Err(TokenFailure::UntimelyStatement)
        }
    }

    fn ends_at(&self) -> Option<OffsetDateTime> {
        let ends = self.claims.get("exp")?.as_i64()?;
        OffsetDateTime::from_unix_timestamp(ends).ok()
    }
}

/// A statement for another receiver must not be of use here.
pub(super) fn check_audience(
    provider: &ProviderState,
    tenant: Option<&str>,
    statement: &Statement<'_>,
) -> Result<(), TokenFailure> {
    let base = &provider.base_url;
    let endpoint = match tenant {
        Some(tenant) => format!("{base}/{tenant}/oauth2/v2.0/token"),
        None => format!("{base}/token"),
    };
    let audience = statement.text("aud");
    if audience == Some(endpoint.as_str()) || audience == Some(provider.issuer(tenant).as_str()) {
        Ok(())
    } else {
        Err(TokenFailure::BadStatement)
    }
}

/// Returns the client that made a request: by what it signs where it has a key, else by its secret.
pub(super) fn authenticate(
    provider: &ProviderState,
    tenant: Option<&str>,
    headers: &HeaderMap,
    fields: &FormFields,
) -> Result<Arc<ClientSettings>, TokenFailure> {
    let Some(text) = fields.get("client_assertion") else {
        let client = provider.clients.authenticate(headers, fields)?;
        let signs = provider
            .applications
            .find(&client.client_id)
            .is_some_and(|application| !application.public_key.is_empty());
        return if signs && client.client_secret.is_empty() {
            Err(TokenFailure::MissingSecret)
        } else {
            Ok(client)
        };
    };
    if headers.contains_key("authorization") || fields.get("client_secret").is_some() {
        return Err(TokenFailure::TwoAuthentications);
    }
    if fields.get("client_assertion_type") != Some(JWT_PROOF) {
        return Err(TokenFailure::BadStatement);
    }
    let statement = Statement::read(text)?;
    let (issuer, subject) = (statement.text("iss"), statement.text("sub"));
    let client_id = issuer.filter(|_| issuer == subject);
    let client_id = client_id.ok_or(TokenFailure::BadStatement)?;
    if fields
        .get("client_id")
        .is_some_and(|given| given != client_id)
    {
        return Err(TokenFailure::BadStatement);
    }
    let client = provider.clients.find(client_id);
    let client = client.ok_or(TokenFailure::UnknownClient)?;
    let application = provider.applications.find(client_id);
    let application = application.ok_or(TokenFailure::WrongKey)?;
    if provider.personality == Personality::Microsoft && statement.header.alg == Algorithm::ES256 {
        return Err(TokenFailure::WrongKey);
    }
    statement.check_signature(&application.public_key)?;
    let now = provider.clock.now();
    statement.check_time(now, LONGEST_SECONDS)?;
    check_audience(provider, tenant, &statement)?;
    let (Some(id), Some(ends_at)) = (statement.text("jti"), statement.ends_at()) else {
        return Err(TokenFailure::BadStatement);
    };
    if provider.applications.use_once(id, ends_at, now) {
        Ok(client)
    } else {
        Err(TokenFailure::ReusedStatement)
    }
}
