//! Validates client configurations.

mod credentials;

use std::collections::BTreeMap;

use mailmesh_domain::{ClientConfigurationId, Flow, Key, TokenEndpointAuth};
use mailmesh_oauth::RESERVED_PARAMETERS;
use mailmesh_oauth::profile::Profile;
use mailmesh_secrets::SealingKey;
use mailmesh_store::RowSecret;
use mailmesh_store::client_configuration::ClientConfiguration;
use serde::Deserialize;
use time::OffsetDateTime;
use url::Url;

use self::credentials::NewCredentials;
use crate::error::ApiError;
use crate::field::{Faults, Field, SecretText};

/// A creation or a change.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ClientInput {
    pub(crate) key: Field<String>,
    name: Field<String>,
    profile: Field<Profile>,
    flow: Field<Flow>,
    base_url: Field<String>,
    client_id: Field<String>,
    client_secret: Field<SecretText>,
    /// In PEM, or a service account's JSON key.
    private_key: Field<SecretText>,
    certificate_pem: Field<String>,
    token_endpoint_auth: Field<TokenEndpointAuth>,
    issuer: Field<String>,
    authorize_url: Field<String>,
    token_url: Field<String>,
    userinfo_url: Field<String>,
    jwks_url: Field<String>,
    scopes: Field<Vec<String>>,
    identity_claim: Field<String>,
    extra_authorize_parameters: Field<BTreeMap<String, String>>,
    ca_pem: Field<String>,
    /// Whether the redirect URI ends with the key; may be false for one configuration.
    own_redirect_uri: Field<bool>,
    inbound: Field<bool>,
    outbound: Field<bool>,
}

/// What the input is merged with.
#[derive(Debug)]
pub(crate) struct ClientContext<'a> {
    pub(crate) id: ClientConfigurationId,
    pub(crate) now: OffsetDateTime,
    pub(crate) current: Option<&'a ClientConfiguration>,
    pub(crate) sealing_key: &'a SealingKey,
    /// Whether another configuration uses the redirect URI without a key.
    pub(crate) is_redirect_taken: bool,
}

/// All of them stand in one URL, which providers and proxies bound to some 8 KiB.
const MOST_SCOPES: usize = 100;
const MOST_PARAMETERS: usize = 50;

/// Merges the input with what is stored, fills in defaults, checks all, and seals the secret.
pub(crate) fn validate(
    input: ClientInput,
    mut faults: Faults,
    context: &ClientContext<'_>,
) -> Result<ClientConfiguration, ApiError> {
    let new = NewCredentials::of(&input, context.now);
    let is_redirect_named = !matches!(input.own_redirect_uri, Field::Absent);
    let key = merge_key(&input.key, context.current.map(|c| &c.key), &mut faults)?;
    let mut client = merge(key, input, context, &mut faults);
    let moved = context
        .current
        .map_or_else(Vec::new, |current| changed_destinations(current, &client));
    new.refuse_elsewhere(&client, &moved, &mut faults);
    if new.has_proof() || !moved.is_empty() {
        client.token_origin = None;
    }
    credentials::check(&mut client, &new, &mut faults);
    if client.is_redirect_shared && context.is_redirect_taken && is_redirect_named {
        faults.add(
            "own_redirect_uri",
            "must be true, because another client configuration uses the redirect URI without a key",
        );
    }
    check(&client, new.has_proof(), &mut faults);
    faults.finish()?;
    new.seal(&mut client, context)?;
    Ok(client)
}

/// Returns the fields that decide where secrets go, or whom they are shown to, and that were changed.
pub(crate) fn changed_destinations(
    current: &ClientConfiguration,
    client: &ClientConfiguration,
) -> Vec<&'static str> {
    let same_url = |one: &Option<String>, other: &Option<String>| {
        let parsed = |url: &Option<String>| {
            url.as_ref()
                .map(|url| Url::parse(url.trim_end_matches('/')))
        };
        one == other || parsed(one) == parsed(other)
    };
    let fields = [
        ("profile", current.profile == client.profile),
        ("issuer", same_url(&current.issuer, &client.issuer)),
        (
            "authorize_url",
            same_url(&current.authorize_url, &client.authorize_url),
        ),
        ("token_url", same_url(&current.token_url, &client.token_url)),
        (
            "userinfo_url",
            same_url(&current.userinfo_url, &client.userinfo_url),
        ),
        ("jwks_url", same_url(&current.jwks_url, &client.jwks_url)),
        ("ca_pem", current.ca_pem == client.ca_pem),
    ];
    let changed = fields.into_iter().filter(|(_, is_same)| !is_same);
    changed.map(|(field, _)| field).collect()
}

fn merge(
    key: Key,
    input: ClientInput,
    context: &ClientContext<'_>,
    faults: &mut Faults,
) -> ClientConfiguration {
    let current = context.current;
    let (is_inbound, is_outbound) = merge_directions(&input, current);
    let (client_secret, private_key) = kept_credentials(&input, current);
    let old = |of: fn(&ClientConfiguration) -> Option<&String>| current.and_then(of).cloned();
    let profile = current.and_then(|c| c.profile.parse().ok());
    let profile = input.profile.over(profile).unwrap_or_else(|| {
        faults.add(
            "profile",
            "is required: google, google_service_account, microsoft, microsoft_app_only or custom",
        );
        Profile::Custom
    });
    let flow = credentials::merge_flow(&input.flow, profile, current, faults);
    let issuer = merge_issuer(input.issuer, input.base_url, current, faults);
    let scopes = input.scopes.over(current.map(|c| c.scopes.clone()));
    let scopes = scopes
        .unwrap_or_else(|| default_scopes(profile, issuer.as_deref(), is_inbound, is_outbound));
    let parameters = current.map(|c| c.extra_authorize_parameters.clone());
    let auth = current.and_then(|c| c.token_endpoint_auth);
    let is_redirect_shared = shares_redirect(input.own_redirect_uri, flow, context);
    let name = input.name.over(current.map(|c| c.name.clone()));
    ClientConfiguration {
        id: context.id,
        name: name.unwrap_or_else(|| key.to_string()),
        key,
        profile: profile.as_str().to_owned(),
        flow,
        client_id: input
            .client_id
            .over(current.map(|c| c.client_id.clone()))
            .unwrap_or_default(),
        client_secret,
        private_key,
        certificate_pem: input
            .certificate_pem
            .over(old(|c| c.certificate_pem.as_ref())),
        token_origin: current.and_then(|c| c.token_origin.clone()),
        token_endpoint_auth: input.token_endpoint_auth.over(auth),
        issuer,
        authorize_url: input.authorize_url.over(old(|c| c.authorize_url.as_ref())),
        token_url: input.token_url.over(old(|c| c.token_url.as_ref())),
        userinfo_url: input.userinfo_url.over(old(|c| c.userinfo_url.as_ref())),
        jwks_url: input.jwks_url.over(old(|c| c.jwks_url.as_ref())),
        scopes,
        identity_claim: input
            .identity_claim
            .over(old(|c| c.identity_claim.as_ref())),
        extra_authorize_parameters: input
            .extra_authorize_parameters
            .over(parameters)
            .unwrap_or_default(),
        ca_pem: input.ca_pem.over(old(|c| c.ca_pem.as_ref())),
        is_redirect_shared,
        is_inbound,
        is_outbound,
        refusal: None,
        created_at: current.map_or(context.now, |c| c.created_at),
        updated_at: context.now,
    }
}

fn merge_directions(input: &ClientInput, current: Option<&ClientConfiguration>) -> (bool, bool) {
    let over = |given: &Field<bool>, kept: Option<bool>| given.clone().over(kept).unwrap_or(true);
    (
        over(&input.inbound, current.map(|c| c.is_inbound)),
        over(&input.outbound, current.map(|c| c.is_outbound)),
    )
}

/// Returns what the request leaves of the stored secret and private key.
fn kept_credentials(
    input: &ClientInput,
    current: Option<&ClientConfiguration>,
) -> (RowSecret, RowSecret) {
    let kept = |given: &Field<SecretText>, of: fn(&ClientConfiguration) -> &RowSecret| {
        let stored = current.filter(|_| matches!(given, Field::Absent)).map(of);
        stored.cloned().unwrap_or(RowSecret::Absent)
    };
    (
        kept(&input.client_secret, |client| &client.client_secret),
        kept(&input.private_key, |client| &client.private_key),
    )
}

/// Where nobody signs in nobody is sent back: the redirect URI without a key is left to others.
fn shares_redirect(given: Field<bool>, flow: Flow, context: &ClientContext<'_>) -> bool {
    let has_own = given.over(context.current.map(|c| !c.is_redirect_shared));
    !has_own.unwrap_or(context.is_redirect_taken) && !flow.is_app()
}

/// Microsoft calls it authority; people find it under either name.
fn merge_issuer(
    issuer: Field<String>,
    base_url: Field<String>,
    current: Option<&ClientConfiguration>,
    faults: &mut Faults,
) -> Option<String> {
    if issuer.is_given() && base_url.is_given() {
        faults.add("base_url", "is another name of issuer: give one of them");
    }
    let given = match issuer {
        Field::Absent => base_url,
        Field::Null | Field::Given(_) => issuer,
    };
    given.over(current.and_then(|client| client.issuer.clone()))
}

/// Returns the key; one that exists stays, since URLs and events name it. After a fault it is any key.
pub(crate) fn merge_key(
    given: &Field<String>,
    current: Option<&Key>,
    faults: &mut Faults,
) -> Result<Key, ApiError> {
    let text = match (given, current) {
        (Field::Given(text), Some(current)) if text == current.as_str() => {
            return Ok(current.clone());
        }
        (Field::Absent, Some(current)) => return Ok(current.clone()),
        (_, Some(current)) => {
            faults.add("key", "cannot be changed: make a new one");
            return Ok(current.clone());
        }
        (Field::Given(text), None) => text.as_str(),
        (Field::Absent | Field::Null, None) => {
            faults.add("key", "is required");
            "unknown"
        }
    };
    Key::try_new(text).or_else(|fault| {
        faults.add("key", fault);
        Key::try_new("unknown").map_err(|_| ApiError::GivenUp)
    })
}

/// One sign-in serves both directions, so both are asked for.
fn default_scopes(
    profile: Profile,
    issuer: Option<&str>,
    is_inbound: bool,
    is_outbound: bool,
) -> Vec<String> {
    let base = issuer.and_then(|issuer| Url::parse(issuer).ok());
    let defaults = profile.defaults(base.as_ref());
    let mut scopes = Vec::new();
    let inbound = is_inbound.then_some(defaults.inbound_scopes);
    let outbound = is_outbound.then_some(defaults.outbound_scopes);
    for scope in inbound.into_iter().chain(outbound).flatten() {
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    scopes
}

fn check(client: &ClientConfiguration, has_new_proof: bool, faults: &mut Faults) {
    faults.text("name", &client.name, 200);
    if client.client_id.is_empty() && client.flow == Flow::JwtBearer {
        // It comes with the key, of which another fault tells.
    } else if client.client_id.is_empty() {
        faults.add("client_id", "is required: the provider's console shows it");
    } else {
        faults.placeholder("client_id", &client.client_id);
        faults.text("client_id", &client.client_id, 1000);
    }
    check_endpoints(client, faults);
    let has_proof = has_new_proof || client.client_secret.is_set() || client.private_key.is_set();
    let needs_secret = matches!(
        client.token_endpoint_auth,
        Some(TokenEndpointAuth::ClientSecretBasic | TokenEndpointAuth::ClientSecretPost)
    );
    if needs_secret && !has_proof {
        faults.add("client_secret", "is required by this token_endpoint_auth");
    }
    if !client.is_inbound && !client.is_outbound {
        faults.add("inbound", "one of inbound and outbound must be true");
    } else if client.scopes.is_empty() {
        faults.add(
            "scopes",
            "must not be empty; leave it out for the profile's own",
        );
    }
    check_scopes(&client.scopes, faults);
    if let Some(claim) = &client.identity_claim {
        faults.text("identity_claim", claim, 200);
    }
    check_parameters(&client.extra_authorize_parameters, faults);
    credentials::check_app_only(client, faults);
    if let Some(pem) = &client.ca_pem {
        faults.ca_pem("ca_pem", pem);
    }
}

fn check_scopes(scopes: &[String], faults: &mut Faults) {
    if scopes.len() > MOST_SCOPES {
        faults.add("scopes", format!("must hold at most {MOST_SCOPES} scopes"));
        return;
    }
    for (index, scope) in scopes.iter().enumerate() {
        // RFC 6749 §3.3: what a scope may consist of.
        let is_token = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        if scope.is_empty() || scope.len() > 1000 || !scope.bytes().all(is_token) {
            faults.add(
                format!("scopes[{index}]"),
                "must be one scope, without spaces, quotes or backslashes",
            );
        } else {
            faults.placeholder(format!("scopes[{index}]"), scope);
        }
    }
}

fn check_parameters(parameters: &BTreeMap<String, String>, faults: &mut Faults) {
    if parameters.len() > MOST_PARAMETERS {
        let message = format!("must hold at most {MOST_PARAMETERS} parameters");
        faults.add("extra_authorize_parameters", message);
        return;
    }
    for (name, value) in parameters {
        let path = format!("extra_authorize_parameters.{name}");
        if RESERVED_PARAMETERS.contains(&name.as_str()) {
            faults.add(path, "is decided by the protocol and cannot be set");
        } else {
            faults.text(&path, name, 200);
            if value.len() > 2000 || value.chars().any(char::is_control) {
                faults.add(
                    path,
                    "must have at most 2000 characters, none of them control characters",
                );
            }
        }
    }
}

fn check_endpoints(client: &ClientConfiguration, faults: &mut Faults) {
    let urls = [
        ("issuer", &client.issuer),
        ("authorize_url", &client.authorize_url),
        ("token_url", &client.token_url),
        ("userinfo_url", &client.userinfo_url),
        ("jwks_url", &client.jwks_url),
    ];
    for (path, url) in urls {
        if let Some(url) = url {
            faults.placeholder(path, url);
            faults.url(path, url);
        }
    }
    match (&client.authorize_url, &client.token_url) {
        // Nobody is sent to the authorisation endpoint.
        (_, Some(_)) if client.flow.is_app() => {}
        (Some(_), None) => faults.add("token_url", "is required beside authorize_url"),
        (None, Some(_)) => faults.add("authorize_url", "is required beside token_url"),
        (None, None) if client.issuer.is_none() && client.profile == "custom" => faults.add(
            "issuer",
            "the profile custom needs an issuer, or authorize_url and token_url",
        ),
        _ => {}
    }
}
