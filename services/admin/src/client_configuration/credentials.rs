//! What a client proves itself with, by its flow.

use mailmesh_domain::{Flow, TokenEndpointAuth};
use mailmesh_oauth::profile::{Profile, is_shared_authority};
use mailmesh_oauth::{ClientKey, ClientKeyError, ServiceAccount};
use mailmesh_secrets::{ExposeSecret, SecretString};
use mailmesh_store::RowSecret;
use mailmesh_store::client_configuration::ClientConfiguration;
use time::OffsetDateTime;
use url::Url;

use super::{ClientContext, ClientInput};
use crate::error::ApiError;
use crate::field::{Faults, Field, SecretText};

const MOST_KEY_CHARACTERS: usize = 64 * 1024;

/// Returns the flow; one that exists stays, since the grants of its accounts come from it.
pub(super) fn merge_flow(
    given: &Field<Flow>,
    profile: Profile,
    current: Option<&ClientConfiguration>,
    faults: &mut Faults,
) -> Flow {
    let flows = profile.flows();
    let usual = flows.first().copied().unwrap_or(Flow::User);
    let kept = current.map(|client| client.flow);
    let flow = match given {
        Field::Given(flow) => *flow,
        Field::Absent | Field::Null => kept.unwrap_or(usual),
    };
    if let Some(kept) = kept.filter(|kept| *kept != flow) {
        faults.add("flow", "cannot be changed: make a new client configuration");
        return kept;
    }
    if !flows.contains(&flow) {
        let names: Vec<&str> = flows.iter().map(|flow| flow.as_str()).collect();
        let path = if given.is_given() { "flow" } else { "profile" };
        let message = format!(
            "the profile {} works with the flow {}, not with {flow}",
            profile.as_str(),
            names.join(" or ")
        );
        faults.add(path, message);
        // What else is wrong is told for a flow that works.
        return usual;
    }
    flow
}

/// What the request changes about the credentials.
pub(super) struct NewCredentials {
    secret: Field<SecretText>,
    private_key: Field<SecretText>,
    is_client_id_given: bool,
    is_certificate_given: bool,
    now: OffsetDateTime,
}

impl NewCredentials {
    pub(super) fn of(input: &ClientInput, now: OffsetDateTime) -> Self {
        Self {
            secret: input.client_secret.clone(),
            private_key: input.private_key.clone(),
            is_client_id_given: input.client_id.is_given(),
            is_certificate_given: input.certificate_pem.is_given(),
            now,
        }
    }

    /// Returns whether the client gets another proof of itself.
    pub(super) const fn has_proof(&self) -> bool {
        self.secret.is_given() || self.private_key.is_given()
    }

    /// Refuses to keep what was given for other endpoints than those that `moved`.
    pub(super) fn refuse_elsewhere(
        &self,
        client: &ClientConfiguration,
        moved: &[&str],
        faults: &mut Faults,
    ) {
        for (path, given, kept) in [
            ("client_secret", &self.secret, &client.client_secret),
            ("private_key", &self.private_key, &client.private_key),
        ] {
            if kept.is_set() && matches!(given, Field::Absent) && !moved.is_empty() {
                // Else whoever may change URLs could have it sent to a server of their own, or have it sign for one.
                faults.add(
                    path,
                    format!(
                        "must be given again with another {}: it goes nowhere that it was not given for",
                        moved.join(", ")
                    ),
                );
            }
        }
    }

    /// Seals what was given, or takes away what is to go.
    pub(super) fn seal(
        self,
        client: &mut ClientConfiguration,
        context: &ClientContext<'_>,
    ) -> Result<(), ApiError> {
        let id = context.id;
        for (given, stored, associated) in [
            (
                self.secret,
                &mut client.client_secret,
                ClientConfiguration::secret_context(id),
            ),
            (
                self.private_key,
                &mut client.private_key,
                ClientConfiguration::private_key_context(id),
            ),
        ] {
            match given {
                Field::Absent => {}
                Field::Null => *stored = RowSecret::Absent,
                Field::Given(SecretText(plain)) => {
                    *stored = RowSecret::Sealed(context.sealing_key.seal(&plain, &associated)?);
                }
            }
        }
        if !client.private_key.is_set() {
            client.certificate_pem = None;
        }
        Ok(())
    }
}

/// Checks the credentials against flow and profile, and reads a key that is given. A service account's client id comes from
/// its key.
pub(super) fn check(client: &mut ClientConfiguration, new: &NewCredentials, faults: &mut Faults) {
    if let Field::Given(SecretText(plain)) = &new.secret {
        faults.secret_placeholder("client_secret", plain.expose_secret());
        faults.text("client_secret", plain.expose_secret(), 4096);
    }
    if let Field::Given(SecretText(text)) = &new.private_key {
        read_key(client, text, new, faults);
    } else if new.is_certificate_given && client.certificate_pem.is_some() {
        faults.add(
            "private_key",
            "must be given with another certificate_pem: a stored key cannot be opened here, so nobody could tell whether they belong together",
        );
    }
    let has_secret = new.secret.is_given() || client.client_secret.is_set();
    let has_key = new.private_key.is_given() || client.private_key.is_set();
    if has_secret && has_key {
        faults.add(
            "client_secret",
            "is not used beside a private_key: leave it out, or set it to null",
        );
    }
    match client.flow {
        Flow::JwtBearer if !has_key => faults.add(
            "private_key",
            "is required: the JSON key of the service account, as Google gives it out",
        ),
        Flow::ClientCredentials if !has_key && !has_secret => faults.add(
            "client_secret",
            "or private_key is required: where nobody signs in, it is all that proves the client",
        ),
        _ => {}
    }
    check_method(client, has_key, faults);
}

fn check_method(client: &ClientConfiguration, has_key: bool, faults: &mut Faults) {
    let path = "token_endpoint_auth";
    match client.token_endpoint_auth {
        Some(TokenEndpointAuth::PrivateKeyJwt) if !has_key => {
            faults.add("private_key", "is required by this token_endpoint_auth");
        }
        Some(TokenEndpointAuth::PrivateKeyJwt) | None => {}
        Some(_) if has_key => faults.add(
            path,
            "must be private_key_jwt, or be left out, where there is a private_key",
        ),
        Some(TokenEndpointAuth::None) if client.flow.is_app() => faults.add(
            path,
            "cannot be none: where nobody signs in, the client must prove itself",
        ),
        Some(_) => {}
    }
}

fn read_key(
    client: &mut ClientConfiguration,
    text: &SecretString,
    new: &NewCredentials,
    faults: &mut Faults,
) {
    if text.expose_secret().len() > MOST_KEY_CHARACTERS {
        let message = format!("must have at most {MOST_KEY_CHARACTERS} characters");
        faults.add("private_key", message);
        return;
    }
    if client.flow == Flow::JwtBearer {
        if client.certificate_pem.is_some() {
            faults.add("certificate_pem", "is not for the flow jwt_bearer");
        }
        match ServiceAccount::try_new(text) {
            Ok(account) if new.is_client_id_given && client.client_id != account.client_id => {
                let message = format!(
                    "is another than that of the service account, {}: leave it out",
                    account.client_id
                );
                faults.add("client_id", message);
            }
            Ok(account) => client.client_id = account.client_id,
            Err(error) => faults.add("private_key", error),
        }
        return;
    }
    match ClientKey::try_new(text, client.certificate_pem.as_deref()) {
        Ok(key) => check_key(client, &key, new.now, faults),
        Err(error @ (ClientKeyError::NoCertificate | ClientKeyError::OtherCertificate)) => {
            faults.add("certificate_pem", error);
        }
        Err(error) => faults.add("private_key", error),
    }
}

fn check_key(
    client: &ClientConfiguration,
    key: &ClientKey,
    now: OffsetDateTime,
    faults: &mut Faults,
) {
    let is_microsoft = client
        .profile
        .parse()
        .is_ok_and(|profile: Profile| profile.is_microsoft());
    if is_microsoft && !key.is_rsa() {
        faults.add(
            "private_key",
            "must be an RSA key: Microsoft takes no other",
        );
    }
    match key.certificate_ends_at() {
        Some(end) if end <= now => faults.add(
            "certificate_pem",
            format!(
                "ended on {}: make a new one and register it at the provider",
                end.date()
            ),
        ),
        None if is_microsoft => faults.add(
            "certificate_pem",
            "is required beside private_key: the certificate that is registered for the application",
        ),
        _ => {}
    }
}

/// Checks what Microsoft needs to know for an application's own tokens: the tenant, and the one scope that stands for all that the
/// application was granted.
pub(super) fn check_app_only(client: &ClientConfiguration, faults: &mut Faults) {
    if client.profile != Profile::MicrosoftAppOnly.as_str() {
        return;
    }
    let named = client.issuer.as_ref().or(client.token_url.as_ref());
    let authority = named.and_then(|url| Url::parse(url).ok());
    if named.is_none() {
        faults.add(
            "base_url",
            "is required and names the tenant: https://login.microsoftonline.com/ with the tenant's id or domain",
        );
    } else if authority.is_some_and(|authority| is_shared_authority(&authority)) {
        faults.add(
            "base_url",
            "must name the tenant by its id or domain: at common, organizations and consumers an application gets no token of its own",
        );
    }
    let is_default = |scope: &String| scope.ends_with("/.default");
    if client.scopes.len() != 1 || !client.scopes.iter().all(is_default) {
        faults.add(
            "scopes",
            "must be https://outlook.office365.com/.default alone, or be left out: an application gets all that it was granted, and single scopes are refused",
        );
    }
}
