use std::sync::Arc;

use mailmesh_domain::{Clock, Flow};
use mailmesh_oauth::profile::Profile;
use mailmesh_oauth::{
    ClientKey, ProviderError, RegisteredClient, Registration, ServiceAccount, Signer,
};
use mailmesh_secrets::OpeningKeys;
use mailmesh_store::client_configuration::ClientConfiguration;
use url::Url;

/// Opens the secrets of a stored client configuration and reads its URLs; `clock` dates what it signs. Whoever sends people to
/// the provider adds the redirect URI.
///
/// # Errors
/// [`ProviderError`], which names the field.
pub fn open_registration(
    row: &ClientConfiguration,
    keys: &OpeningKeys,
    clock: &Arc<dyn Clock>,
) -> Result<RegisteredClient, ProviderError> {
    let context = ClientConfiguration::secret_context(row.id);
    let secret = row.client_secret.sealed();
    let mut registered = read_registration(row)?;
    registered.registration.client_secret = secret
        .map(|secret| keys.open(secret, &context))
        .transpose()?;
    registered.registration.signer = open_signer(row, keys, clock)?;
    Ok(registered)
}

/// Reads a stored client configuration without its secrets: enough to find the provider, not to be let in there.
///
/// # Errors
/// [`ProviderError`], which names the field.
pub fn read_registration(row: &ClientConfiguration) -> Result<RegisteredClient, ProviderError> {
    let url = |field: &'static str, text: &Option<String>| {
        let parsed = text.as_ref().map(|text| Url::parse(text)).transpose();
        parsed.map_err(|_| ProviderError::BadUrl { field })
    };
    let registration = Registration {
        profile: row.profile.parse::<Profile>()?,
        flow: row.flow,
        client_id: row.client_id.clone(),
        client_secret: None,
        signer: None,
        auth: row.token_endpoint_auth,
        issuer: url("issuer", &row.issuer)?,
        authorize: url("authorize_url", &row.authorize_url)?,
        token: url("token_url", &row.token_url)?,
        userinfo: url("userinfo_url", &row.userinfo_url)?,
        jwks: url("jwks_url", &row.jwks_url)?,
        scopes: row.scopes.clone(),
        identity_claim: row.identity_claim.clone(),
        extra_authorize: row.extra_authorize_parameters.clone().into_iter().collect(),
    };
    Ok(RegisteredClient {
        id: row.id,
        key: row.key.to_string(),
        changed_at: row.updated_at,
        ca_pem: row.ca_pem.clone(),
        redirect_uri: None,
        registration,
    })
}

fn open_signer(
    row: &ClientConfiguration,
    keys: &OpeningKeys,
    clock: &Arc<dyn Clock>,
) -> Result<Option<Signer>, ProviderError> {
    let Some(sealed) = row.private_key.sealed() else {
        return Ok(None);
    };
    let opened = keys.open(sealed, &ClientConfiguration::private_key_context(row.id))?;
    let clock = Arc::clone(clock);
    let signer = if row.flow == Flow::JwtBearer {
        let account = ServiceAccount::try_new(&opened).map_err(ProviderError::Key)?;
        Signer::of_service_account(account, clock)
    } else {
        let certificate = row.certificate_pem.as_deref();
        let key = ClientKey::try_new(&opened, certificate).map_err(ProviderError::Key)?;
        Signer::new(key, clock)
    };
    Ok(Some(signer))
}
