use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use url::Url;

use super::ProviderState;
use super::code::Approval;
use super::counter::AtomicCounters;
use super::fields::FormFields;
use crate::fault::Fault;
use crate::fault::http::stumble;
use crate::page::{ConsentPage, FailurePage, FormPostPage, MailboxChoice, ScopeChoice, render};
use crate::settings::{ClientSettings, Personality};

/// Parameters of the client's request, which the page sends back with the owner's decision.
const CARRIED: &[&str] = &[
    "client_id",
    "redirect_uri",
    "response_type",
    "response_mode",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "access_type",
    "prompt",
    "login_hint",
];

/// A request from a client that may be answered at its redirect URI.
struct Request<'a> {
    client: Arc<ClientSettings>,
    redirect_uri: &'a str,
    fields: &'a FormFields,
}

/// Why a request is answered without asking the owner.
enum AuthorizeRefusal {
    /// Shown here: the redirect URI cannot be trusted.
    Page { error: &'static str, text: String },
    /// Told to the client.
    Client {
        error: &'static str,
        text: &'static str,
    },
}

/// Shows the page on which the owner chooses a mailbox and consents.
pub(super) async fn show(
    State(provider): State<Arc<ProviderState>>,
    RawQuery(query): RawQuery,
) -> Response {
    AtomicCounters::add(&provider.counters.authorisations);
    let fields = FormFields::parse(query.unwrap_or_default().as_bytes());
    let hint = fields.get("login_hint");
    if let Some(response) = stumble(&provider.faults, "oauth.authorize", hint).await {
        return response;
    }
    let request = match Request::trust(&provider, &fields) {
        Ok(request) => request,
        Err(refusal) => return refusal.into_page(),
    };
    if let Err(refusal) = request.check(&provider) {
        return request.refuse(&provider, &refusal);
    }
    if provider.auto_consent
        && let Some(address) = hint.filter(|hint| has_mailbox(&provider, hint))
    {
        return request.approve(&provider, address, request.scopes(&provider));
    }
    if fields.words("prompt").any(|word| word == "none") {
        let refusal = AuthorizeRefusal::Client {
            error: "login_required",
            text: "The owner must sign in",
        };
        return request.refuse(&provider, &refusal);
    }
    request.ask(&provider, None)
}

/// Takes the owner's decision.
pub(super) async fn decide(State(provider): State<Arc<ProviderState>>, body: Bytes) -> Response {
    let fields = FormFields::parse(&body);
    let mailbox = fields.get("mailbox");
    if let Some(response) = stumble(&provider.faults, "oauth.consent", mailbox).await {
        return response;
    }
    let request = match Request::trust(&provider, &fields) {
        Ok(request) => request,
        Err(refusal) => return refusal.into_page(),
    };
    if let Err(refusal) = request.check(&provider) {
        return request.refuse(&provider, &refusal);
    }
    let denied = AuthorizeRefusal::Client {
        error: "access_denied",
        text: "The owner declined",
    };
    if fields.get("decision") != Some("approve") {
        return request.refuse(&provider, &denied);
    }
    let Some(address) = mailbox.filter(|address| has_mailbox(&provider, address)) else {
        return request.ask(&provider, Some("There is no such mailbox here."));
    };
    let password = fields.get("password").unwrap_or_default();
    if provider.ask_password && !provider.mail.check_password(address, password) {
        return request.ask(&provider, Some("The password is wrong."));
    }
    let scopes = request.granted(&provider);
    if scopes.is_empty() {
        return request.refuse(&provider, &denied);
    }
    request.approve(&provider, address, scopes)
}

impl<'a> Request<'a> {
    /// Accepts a request whose client and redirect URI are known; anything else must not be redirected.
    fn trust(provider: &ProviderState, fields: &'a FormFields) -> Result<Self, AuthorizeRefusal> {
        let client = fields
            .get("client_id")
            .and_then(|client_id| provider.clients.find(client_id));
        let Some(client) = client else {
            let (error, text) = match provider.personality {
                Personality::Google => ("invalid_client", "The OAuth client was not found."),
                Personality::Microsoft => (
                    "unauthorized_client",
                    "AADSTS700016: Application was not found in the directory.",
                ),
                Personality::Standard => ("invalid_client", "Unknown client."),
            };
            let text = text.to_owned();
            return Err(AuthorizeRefusal::Page { error, text });
        };
        let redirect_uri = fields.get("redirect_uri").unwrap_or_default();
        if !client.redirect_uris.iter().any(|uri| uri == redirect_uri) {
            let code = match provider.personality {
                Personality::Microsoft => "AADSTS50011: ",
                Personality::Google | Personality::Standard => "",
            };
            return Err(AuthorizeRefusal::Page {
                error: "redirect_uri_mismatch",
                text: format!(
                    "{code}The redirect URI '{redirect_uri}' is not registered for this client."
                ),
            });
        }
        Ok(Self {
            client,
            redirect_uri,
            fields,
        })
    }

    fn check(&self, provider: &ProviderState) -> Result<(), AuthorizeRefusal> {
        let refuse = |error, text| Err(AuthorizeRefusal::Client { error, text });
        match self.fields.get("response_type") {
            Some("code") => {}
            Some(_) => return refuse("unsupported_response_type", "Only code is supported"),
            None => return refuse("invalid_request", "Missing response_type"),
        }
        match self.fields.get("response_mode") {
            None | Some("query" | "form_post") => {}
            Some(_) => return refuse("invalid_request", "Unknown response_mode"),
        }
        match (
            self.fields.get("code_challenge"),
            self.fields.get("code_challenge_method"),
        ) {
            (None, None) if self.client.client_secret.is_empty() => {
                return refuse(
                    "invalid_request",
                    "A public client must send a code challenge",
                );
            }
            (None, None) => {}
            (Some(challenge), Some("S256")) if challenge.len() == 43 => {}
            _ => return refuse("invalid_request", "The code challenge must be S256"),
        }
        if self.scopes(provider).is_empty() {
            return refuse("invalid_scope", "Missing scope");
        }
        Ok(())
    }

    fn scopes(&self, provider: &ProviderState) -> Vec<String> {
        let mut scopes: Vec<String> = Vec::new();
        for scope in self.fields.words("scope") {
            let scope = provider.canonical_scope(scope);
            if !scopes.contains(&scope) {
                scopes.push(scope);
            }
        }
        scopes
    }

    /// Returns the scopes the owner left ticked; a form without tick boxes consents to all.
    fn granted(&self, provider: &ProviderState) -> Vec<String> {
        let mut scopes = self.scopes(provider);
        if self.fields.get("ticked").is_some() {
            let ticked: Vec<&str> = self.fields.get_all("granted").collect();
            scopes.retain(|scope| ticked.contains(&scope.as_str()));
        }
        scopes
    }

    fn approve(&self, provider: &ProviderState, address: &str, scopes: Vec<String>) -> Response {
        let address = address.to_ascii_lowercase();
        let is_first = provider.consents.record(&self.client.client_id, &address);
        let offline = match provider.personality {
            Personality::Standard => true,
            Personality::Microsoft => scopes.iter().any(|scope| scope == "offline_access"),
            Personality::Google => {
                let asks_again = self.fields.words("prompt").any(|word| word == "consent");
                self.fields.get("access_type") == Some("offline") && (is_first || asks_again)
            }
        };
        let scope = provider.scope_names(&scopes);
        let approval = Approval {
            client_id: self.client.client_id.clone(),
            redirect_uri: self.redirect_uri.to_owned(),
            address,
            scopes,
            nonce: self.fields.get("nonce").map(str::to_owned),
            challenge: self.fields.get("code_challenge").map(str::to_owned),
            offline,
        };
        let code = provider.codes.issue(approval, provider.clock.now());
        let mut pairs = vec![("code", code)];
        if provider.personality == Personality::Google {
            pairs.push(("scope", scope));
        }
        self.send_back(provider, pairs)
    }

    fn refuse(&self, provider: &ProviderState, refusal: &AuthorizeRefusal) -> Response {
        let AuthorizeRefusal::Client { error, text } = refusal else {
            return StatusCode::BAD_REQUEST.into_response();
        };
        let mut pairs = vec![("error", (*error).to_owned())];
        match (provider.personality, *error) {
            // Google says nothing more.
            (Personality::Google, _) => {}
            (Personality::Microsoft, "access_denied") => {
                pairs.push(("error_subcode", "cancel".to_owned()));
                let text = "AADSTS65004: User declined to consent to access the app.";
                pairs.push(("error_description", text.to_owned()));
            }
            _ => pairs.push(("error_description", (*text).to_owned())),
        }
        self.send_back(provider, pairs)
    }

    fn send_back(
        &self,
        provider: &ProviderState,
        mut pairs: Vec<(&'static str, String)>,
    ) -> Response {
        if let Some(state) = self.fields.get("state") {
            pairs.push(("state", state.to_owned()));
        }
        if provider.personality == Personality::Standard {
            pairs.push(("iss", provider.base_url.clone()));
        }
        if self.fields.get("response_mode") == Some("form_post") {
            return render(&FormPostPage {
                action: self.redirect_uri,
                fields: &pairs,
            });
        }
        let Ok(mut url) = Url::parse(self.redirect_uri) else {
            return StatusCode::BAD_REQUEST.into_response();
        };
        match provider
            .faults
            .take("oauth.redirect", self.fields.get("mailbox"))
        {
            Some(Fault::Reply { text }) => {
                let state = self.fields.get("state").unwrap_or_default();
                url.set_query(Some(&text.replace("{state}", state)));
            }
            _ => {
                url.query_pairs_mut().extend_pairs(&pairs);
            }
        }
        Redirect::to(url.as_str()).into_response()
    }

    fn ask(&self, provider: &ProviderState, message: Option<&str>) -> Response {
        let chosen = self.fields.get("mailbox").or(self.fields.get("login_hint"));
        let mailboxes = provider
            .mail
            .addresses()
            .into_iter()
            .map(|address| MailboxChoice {
                is_chosen: chosen.is_some_and(|chosen| chosen.eq_ignore_ascii_case(&address)),
                address,
            })
            .collect();
        let carried = CARRIED
            .iter()
            .filter_map(|name| Some((*name, self.fields.get(name)?)))
            .collect();
        let scopes = self
            .scopes(provider)
            .into_iter()
            .map(|name| ScopeChoice { name })
            .collect();
        render(&ConsentPage {
            client_id: &self.client.client_id,
            carried,
            mailboxes,
            scopes,
            asks_password: provider.ask_password,
            message,
        })
    }
}

impl AuthorizeRefusal {
    fn into_page(self) -> Response {
        let (error, text) = match self {
            Self::Page { error, text } => (error, text),
            Self::Client { error, text } => (error, text.to_owned()),
        };
        let mut response = render(&FailurePage { error, text: &text });
        *response.status_mut() = StatusCode::BAD_REQUEST;
        response
    }
}

fn has_mailbox(provider: &ProviderState, address: &str) -> bool {
    provider.mail.find(address).is_some()
}
