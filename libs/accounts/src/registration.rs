use mailmesh_oauth::profile::Profile;
use mailmesh_oauth::{ProviderError, RegisteredClient, Registration};
use mailmesh_secrets::OpeningKeys;
use mailmesh_store::client_configuration::ClientConfiguration;
use url::Url;

/// Opens the secret of a stored client configuration and reads its URLs. Whoever sends people to the provider adds the redirect
/// URI.
///
/// # Errors
/// [`ProviderError`], which names the field.
pub fn open_registration(
    row: &ClientConfiguration,
    keys: &OpeningKeys,
) -> Result<RegisteredClient, ProviderError> {
    let context = ClientConfiguration::secret_context(row.id);
    let secret = row.client_secret.as_ref();
    let url = |field: &'static str, text: &Option<String>| {
        let parsed = text.as_ref().map(|text| Url::parse(text)).transpose();
        parsed.map_err(|_| ProviderError::BadUrl { field })
    };
    let registration = Registration {
        profile: row.profile.parse::<Profile>()?,
        flow: mailmesh_domain::Flow::User,
        client_id: row.client_id.clone(),
        client_secret: secret
            .map(|secret| keys.open(secret, &context))
            .transpose()?,
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
