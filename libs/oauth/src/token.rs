use std::pin::Pin;
use std::time::Duration;

use futures_util::future::BoxFuture;
use mailmesh_domain::TokenEndpointAuth;
use mailmesh_secrets::{ExposeSecret, SecretString};
use oauth2::basic::BasicErrorResponse;
use oauth2::{
    AsyncHttpClient, AuthorizationCode, HttpRequest, HttpResponse, PkceCodeVerifier, RefreshToken,
    RequestTokenError, Scope, TokenResponse,
};

use crate::client::Client;
use crate::endpoints::Endpoints;
use crate::error::OAuthError;
use crate::http::HttpClient;
use crate::operation::Operation;
use crate::wire::WireTokens;

const JWT_BEARER_PROOF: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What a provider issued.
#[derive(Debug, Clone)]
pub struct TokenAnswer {
    pub access_token: SecretString,
    /// The refresh token; absent means that the one before stays good.
    pub refresh_token: Option<SecretString>,
    /// How long the access token lasts, if the provider says so.
    pub expires_in: Option<Duration>,
    /// How long the refresh token lasts, for consent with an end.
    pub refresh_token_expires_in: Option<Duration>,
    /// What the token is good for; as asked when the provider does not say.
    pub scopes: Vec<String>,
    /// The id token, not verified yet.
    pub id_token: Option<SecretString>,
}

/// Gives requests of the protocol crate to our client. A closure would do, but the future around it
/// could then not be moved to another thread (rust-lang/rust#64552).
pub(crate) struct Sender<'a> {
    pub(crate) http: &'a HttpClient,
    pub(crate) operation: Operation,
    pub(crate) secrets: &'a [&'a SecretString],
}

impl<'c> AsyncHttpClient<'c> for Sender<'_> {
    type Error = OAuthError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, OAuthError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.http.send(self.operation, request, self.secrets))
    }
}

/// Trades an authorisation code for tokens.
///
/// # Errors
/// [`OAuthError`] with the provider's reason. A code works once, so only a new sign-in helps after
/// an error that came from the provider.
pub fn exchange_code<'a>(
    http: &'a HttpClient,
    endpoints: &'a Endpoints,
    client: &'a Client,
    code: &'a SecretString,
    verifier: &'a SecretString,
) -> BoxFuture<'a, Result<TokenAnswer, OAuthError>> {
    Box::pin(async move {
        let operation = Operation::ExchangeCode;
        let proof = Proof::try_new(client, endpoints, operation)?;
        let secrets = proof.secrets(client, vec![code, verifier]);
        let sender = Sender {
            http,
            operation,
            secrets: &secrets,
        };
        let protocol = client.protocol(endpoints);
        let mut request = protocol
            .exchange_code(AuthorizationCode::new(code.expose_secret().to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier.expose_secret().to_owned()));
        for (name, value) in proof.parameters() {
            request = request.add_extra_param(name, value);
        }
        let answer = read_answer(operation, request.request_async(&sender).await)?;
        TokenAnswer::try_new(operation, &answer, &client.scopes)
    })
}

/// Trades a refresh token for a new access token. `scopes` is what was asked for at sign-in; it is
/// sent where the provider wants it.
///
/// # Errors
/// [`OAuthError`] with the provider's reason; its verdict tells a dead grant from a bad moment.
pub fn refresh<'a>(
    http: &'a HttpClient,
    endpoints: &'a Endpoints,
    client: &'a Client,
    refresh_token: &'a SecretString,
    scopes: &'a [String],
) -> BoxFuture<'a, Result<TokenAnswer, OAuthError>> {
    Box::pin(async move {
        let operation = Operation::Refresh;
        let proof = Proof::try_new(client, endpoints, operation)?;
        let secrets = proof.secrets(client, vec![refresh_token]);
        let sender = Sender {
            http,
            operation,
            secrets: &secrets,
        };
        let token = RefreshToken::new(refresh_token.expose_secret().to_owned());
        let wanted = if client.refresh_sends_scopes {
            scopes
        } else {
            &[]
        };
        let protocol = client.protocol(endpoints);
        let mut request = protocol
            .exchange_refresh_token(&token)
            .add_scopes(wanted.iter().cloned().map(Scope::new));
        for (name, value) in proof.parameters() {
            request = request.add_extra_param(name, value);
        }
        let answer = read_answer(operation, request.request_async(&sender).await)?;
        TokenAnswer::try_new(operation, &answer, scopes)
    })
}

/// What a client that signs sends in place of its secret (RFC 7523 §2.2); nothing for others, whom the protocol crate proves.
pub(crate) struct Proof(Option<SecretString>);

impl Proof {
    pub(crate) fn try_new(
        client: &Client,
        endpoints: &Endpoints,
        operation: Operation,
    ) -> Result<Self, OAuthError> {
        if client.auth != TokenEndpointAuth::PrivateKeyJwt {
            return Ok(Self(None));
        }
        let unsigned = OAuthError::Unsigned { operation };
        let Some(signer) = &client.signer else {
            return Err(unsigned);
        };
        let proof = signer.prove_client(&client.client_id, &endpoints.token);
        proof.map(|proof| Self(Some(proof))).map_err(|_| unsigned)
    }

    /// Returns what a request holds and no error may show: `own` and the client's.
    pub(crate) fn secrets<'a>(
        &'a self,
        client: &'a Client,
        mut own: Vec<&'a SecretString>,
    ) -> Vec<&'a SecretString> {
        own.extend(client.secret());
        own.extend(&self.0);
        own
    }

    pub(crate) fn parameters(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.0.iter().flat_map(|proof| {
            [
                ("client_assertion_type", JWT_BEARER_PROOF.to_owned()),
                ("client_assertion", proof.expose_secret().to_owned()),
            ]
        })
    }
}

pub(crate) fn read_answer(
    operation: Operation,
    answer: Result<WireTokens, RequestTokenError<OAuthError, BasicErrorResponse>>,
) -> Result<WireTokens, OAuthError> {
    match answer {
        Ok(answer) => Ok(answer),
        Err(RequestTokenError::Request(error)) => Err(error),
        // The crate's error holds the body, and with it perhaps a token: it ends here.
        Err(_) => Err(OAuthError::unreadable(
            operation,
            "it holds no access token",
        )),
    }
}

impl TokenAnswer {
    pub(crate) fn try_new(
        operation: Operation,
        answer: &WireTokens,
        asked: &[String],
    ) -> Result<Self, OAuthError> {
        if !answer.is_bearer() {
            return Err(OAuthError::unreadable(
                operation,
                "its token is no bearer token",
            ));
        }
        let access_token = answer.access_token().secret();
        let refresh_token = answer.refresh_token().map(RefreshToken::secret);
        let tokens = [Some(access_token), refresh_token];
        if !tokens.into_iter().flatten().all(|token| is_token(token)) {
            return Err(OAuthError::unreadable(
                operation,
                "a token holds forbidden characters",
            ));
        }
        let scopes = answer.scopes().map_or_else(
            || asked.to_vec(),
            |scopes| scopes.iter().map(|scope| scope.to_string()).collect(),
        );
        Ok(Self {
            access_token: SecretString::from(access_token.as_str()),
            refresh_token: refresh_token.map(|token| SecretString::from(token.as_str())),
            expires_in: answer.expires_in(),
            refresh_token_expires_in: answer.refresh_token_expires_in(),
            scopes,
            id_token: answer.id_token().map(SecretString::from),
        })
    }
}

// RFC 6749 A.12. A line break or \x01 would let a token end the SASL line it is put into.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
}
