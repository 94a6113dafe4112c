//! Tokens without any person: the client's own credentials are all that is needed, and asking again is all of a refresh.

use ::http::Request;
use ::http::header::{ACCEPT, CONTENT_TYPE};
use futures_util::future::BoxFuture;
use mailmesh_secrets::ExposeSecret;
use oauth2::Scope;
use url::form_urlencoded;

use crate::client::Client;
use crate::endpoints::Endpoints;
use crate::error::OAuthError;
use crate::http::HttpClient;
use crate::operation::Operation;
use crate::token::{Proof, Sender, TokenAnswer, read_answer};
use crate::wire::WireTokens;

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Asks for a token in the client's own name (RFC 6749 §4.4).
///
/// # Errors
/// [`OAuthError`] with the provider's reason.
pub fn request_for_client<'a>(
    http: &'a HttpClient,
    endpoints: &'a Endpoints,
    client: &'a Client,
) -> BoxFuture<'a, Result<TokenAnswer, OAuthError>> {
    Box::pin(async move {
        let operation = Operation::ClientCredentials;
        let proof = Proof::try_new(client, endpoints, operation)?;
        let secrets = proof.secrets(client, Vec::new());
        let sender = Sender {
            http,
            operation,
            secrets: &secrets,
        };
        let protocol = client.protocol(endpoints);
        let mut request = protocol
            .exchange_client_credentials()
            .add_scopes(client.scopes.iter().cloned().map(Scope::new));
        for (name, value) in proof.parameters() {
            request = request.add_extra_param(name, value);
        }
        let answer = read_answer(operation, request.request_async(&sender).await)?;
        TokenAnswer::try_new(operation, &answer, &client.scopes).map(without_refresh)
    })
}

/// Asks for a token of a mailbox that the client may act for (RFC 7523 §2.1).
///
/// # Errors
/// [`OAuthError`] with the provider's reason.
pub fn request_for_mailbox<'a>(
    http: &'a HttpClient,
    endpoints: &'a Endpoints,
    client: &'a Client,
    login: &'a str,
) -> BoxFuture<'a, Result<TokenAnswer, OAuthError>> {
    Box::pin(async move {
        let operation = Operation::JwtBearer;
        let signer = client
            .signer
            .as_ref()
            .ok_or(OAuthError::Unsigned { operation })?;
        let statement = signer
            .act_for(login, &client.client_id, &endpoints.token, &client.scopes)
            .map_err(|_| OAuthError::Unsigned { operation })?;
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", JWT_BEARER)
            .append_pair("assertion", statement.expose_secret())
            .finish();
        let request = Request::post(endpoints.token.as_str())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body.into_bytes())
            .map_err(|_| OAuthError::unreadable(operation, "request cannot be built"))?;
        let answer = http.send(operation, request, &[&statement]).await?;
        let answer: WireTokens = serde_json::from_slice(answer.body())
            .map_err(|_| OAuthError::unreadable(operation, "it holds no access token"))?;
        TokenAnswer::try_new(operation, &answer, &client.scopes).map(without_refresh)
    })
}

/// RFC 6749 §4.4.3 wants none; where one comes all the same it is of no use, and one secret less to keep.
fn without_refresh(answer: TokenAnswer) -> TokenAnswer {
    TokenAnswer {
        refresh_token: None,
        ..answer
    }
}
