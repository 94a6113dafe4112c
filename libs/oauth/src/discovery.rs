use serde_json::Value;
use url::Url;

use crate::endpoints::Endpoints;
use crate::error::OAuthError;
use crate::http::{HttpClient, is_protected};
use crate::operation::Operation;
use crate::profile;

const WELL_KNOWN: &str = "/.well-known/";
const OPENID: &str = "/.well-known/openid-configuration";
const OAUTH: &str = "/.well-known/oauth-authorization-server";

/// Reads a provider's metadata: OpenID Connect first, then RFC 8414. Takes the issuer, or the full
/// URL of the document.
///
/// # Errors
/// [`OAuthError`] when there is none, it belongs to another issuer, or an endpoint is missing.
pub async fn discover(http: &HttpClient, issuer: &Url) -> Result<Endpoints, OAuthError> {
    let found = find(http, issuer).await?;
    if found.needs_keys && found.endpoints.jwks.is_none() {
        return Err(no_key_set(issuer));
    }
    Ok(found.endpoints)
}

pub(crate) fn no_key_set(issuer: &Url) -> OAuthError {
    OAuthError::NoKeySet {
        asked: issuer.to_string(),
    }
}

/// A provider's metadata, with whether it must name a key set.
pub(crate) struct DiscoveredMetadata {
    pub(crate) endpoints: Endpoints,
    pub(crate) needs_keys: bool,
}

/// Finds the metadata, and leaves to the caller whether the key set is known from elsewhere.
pub(crate) async fn find(
    http: &HttpClient,
    issuer: &Url,
) -> Result<DiscoveredMetadata, OAuthError> {
    if let Some(asked) = issuer_of_document(issuer) {
        return read(http, issuer, &asked).await;
    }
    let path = issuer.path().trim_end_matches('/');
    let openid = with_path(issuer, &format!("{path}{OPENID}"));
    match read(http, &openid, issuer).await {
        Err(error) if may_be_elsewhere(&error) => {
            // RFC 8414 §3.1 inserts its part before the issuer's path; OpenID Connect Discovery §4 appends it.
            let oauth = with_path(issuer, &format!("{OAUTH}{path}"));
            // The first error is kept when the second try finds nothing either.
            match read(http, &oauth, issuer).await {
                Err(second) if may_be_elsewhere(&second) => Err(error),
                found => found,
            }
        }
        found => found,
    }
}

fn may_be_elsewhere(error: &OAuthError) -> bool {
    match error {
        // 429 and 5xx say nothing of where the document lies.
        OAuthError::Refused(refusal) => matches!(refusal.status, Some(400..=428 | 430..=499)),
        OAuthError::Redirected { .. } | OAuthError::Unreadable { .. } => true,
        _ => false,
    }
}

async fn read(
    http: &HttpClient,
    document: &Url,
    asked: &Url,
) -> Result<DiscoveredMetadata, OAuthError> {
    let metadata = http.get(Operation::Discover, document, None).await?;
    let text = |name| metadata.get(name).and_then(Value::as_str);
    let answered = text("issuer").ok_or(incomplete("no issuer"))?;
    if !is_asked_issuer(asked, answered) {
        return Err(OAuthError::OtherIssuer {
            asked: asked.to_string(),
            answered: answered.chars().take(200).collect(),
        });
    }
    let url = |name| endpoint(asked, text(name)?);
    // OpenID Connect Discovery §3 requires one; RFC 8414 §2 does not, but one that is named must be usable.
    let scopes = strings(metadata.get("scopes_supported"));
    let needs_keys = document.path().contains(OPENID)
        || metadata.get("jwks_uri").is_some_and(|uri| !uri.is_null())
        || scopes.iter().any(|scope| scope == "openid");
    let endpoints = Endpoints {
        issuer: Some(answered.to_owned()),
        authorize: url("authorization_endpoint").ok_or(incomplete("no authorization endpoint"))?,
        token: url("token_endpoint").ok_or(incomplete("no token endpoint"))?,
        userinfo: url("userinfo_endpoint"),
        jwks: url("jwks_uri"),
        auth_methods: strings(metadata.get("token_endpoint_auth_methods_supported"))
            .iter()
            .filter_map(|name| name.parse().ok())
            .collect(),
        iss_parameter_supported: metadata
            .get("authorization_response_iss_parameter_supported")
            .and_then(Value::as_bool)
            .unwrap_or_default(),
    };
    Ok(DiscoveredMetadata {
        endpoints,
        needs_keys,
    })
}

const fn incomplete(problem: &'static str) -> OAuthError {
    OAuthError::unreadable(Operation::Discover, problem)
}

fn strings(value: Option<&Value>) -> Vec<String> {
    let items = value.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

// A document fetched over TLS must not lead to an endpoint without it.
fn endpoint(asked: &Url, text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_allowed = url.scheme() == "https" || asked.scheme() == "http";
    (is_allowed && is_protected(&url)).then_some(url)
}

fn with_path(url: &Url, path: &str) -> Url {
    let mut url = url.clone();
    url.set_path(path);
    url.set_query(None);
    url.set_fragment(None);
    url
}

/// Returns whose metadata a well-known URL is; none for other URLs.
pub(crate) fn issuer_of_document(document: &Url) -> Option<Url> {
    let (before, after) = document.path().split_once(WELL_KNOWN)?;
    // OpenID Connect appends the suffix to the issuer's path, RFC 8414 puts it in front.
    let inserted = after.split_once('/').map_or("", |(_, path)| path);
    let path = if before.is_empty() { inserted } else { before };
    Some(with_path(document, path))
}

fn is_asked_issuer(asked: &Url, answered: &str) -> bool {
    let expected = asked.as_str().trim_end_matches('/');
    let answered = answered.trim_end_matches('/');
    expected == answered
        || template_fits(answered, expected)
        || profile::is_microsoft_alias(expected, answered)
}

// Metadata for all of Microsoft's tenants names none.
fn template_fits(template: &str, expected: &str) -> bool {
    let Some((before, after)) = template.split_once("{tenantid}") else {
        return false;
    };
    // The tenant is a segment of the path, never a part of the host.
    let names_host = before.ends_with('/') && before.matches('/').count() >= 3;
    expected
        .strip_prefix(before)
        .filter(|_| names_host)
        .and_then(|rest| rest.strip_suffix(after))
        .is_some_and(|tenant| !tenant.is_empty() && !tenant.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_issuer_asked_for_is_accepted() {
        let microsoft = "https://login.microsoftonline.com";
        let tenant = "72f988bf-86f1-41af-91ab-2d7cd011db47";
        for (asked, answered, is_right) in [
            (
                "https://accounts.google.com",
                "https://accounts.google.com",
                true,
            ),
            (
                "https://id.test/realms/a/",
                "https://id.test/realms/a",
                true,
            ),
            (
                "https://id.test/realms/a",
                "https://id.test/realms/b",
                false,
            ),
            ("https://id.test", "https://evil.test", false),
            ("https://id.test", "http://id.test", false),
            (
                &format!("{microsoft}/common/v2.0"),
                &format!("{microsoft}/{{tenantid}}/v2.0"),
                true,
            ),
            (
                &format!("{microsoft}/contoso.com/v2.0"),
                &format!("{microsoft}/{tenant}/v2.0"),
                true,
            ),
            (
                &format!("{microsoft}/{tenant}/v2.0"),
                &format!("{microsoft}/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0"),
                false,
            ),
            (
                "https://id.test/contoso.com/v2.0",
                &format!("https://id.test/{tenant}/v2.0"),
                false,
            ),
            (
                "https://id.test/a/b/v2.0",
                "https://id.test/{tenantid}/v2.0",
                false,
            ),
            ("https://id.test/v2.0", "https://{tenantid}/v2.0", false),
        ] {
            let asked = Url::parse(asked).unwrap();
            assert_eq!(
                is_asked_issuer(&asked, answered),
                is_right,
                "{asked} {answered}"
            );
        }
    }

    #[test]
    fn documents_belong_to_their_issuers() {
        for (document, issuer) in [
            (
                "https://id.test/.well-known/openid-configuration",
                "https://id.test/",
            ),
            (
                "https://id.test/a/b/.well-known/openid-configuration",
                "https://id.test/a/b",
            ),
            (
                "https://id.test/.well-known/oauth-authorization-server/a/b",
                "https://id.test/a/b",
            ),
        ] {
            let found = issuer_of_document(&Url::parse(document).unwrap());
            assert_eq!(found.unwrap().as_str(), issuer);
        }
        assert!(issuer_of_document(&Url::parse("https://id.test/a").unwrap()).is_none());
    }
}
