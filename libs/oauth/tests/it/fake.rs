use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use futures_util::stream;
use mailmesh_domain::TokenEndpointAuth;
use mailmesh_oauth::{Client, Endpoints, HttpClient, HttpSettings};
use mailmesh_secrets::SecretString;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use url::{Url, form_urlencoded};

/// One scripted answer.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Http {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: String,
    },
    /// Headers never come.
    Stall,
    /// Headers come, the body never ends.
    StallInBody,
    /// A body without end.
    Endless,
    /// A refusal that repeats all it was sent, in every form.
    Echo,
}

/// One request, as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    pub(crate) form: HashMap<String, String>,
}

#[derive(Debug, Clone, Default)]
struct Script {
    answers: Arc<Mutex<HashMap<String, VecDeque<Answer>>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// A provider that answers what it is told to; the last answer of a path stays.
#[derive(Debug)]
pub(crate) struct Fake {
    address: SocketAddr,
    script: Script,
    _tasks: JoinSet<()>,
}

pub(crate) fn json(body: &str) -> Answer {
    status(200, body)
}

pub(crate) fn status(status: u16, body: &str) -> Answer {
    let kind = if body.starts_with('<') {
        "text/html"
    } else {
        "application/json"
    };
    Answer::Http {
        status,
        headers: vec![("content-type", kind.to_owned())],
        body: body.to_owned(),
    }
}

impl Answer {
    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Self::Http { headers, .. } = &mut self {
            headers.retain(|(other, _)| *other != name);
            headers.push((name, value.to_owned()));
        }
        self
    }
}

impl Fake {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Script::default();
        let router = Router::new().fallback(answer).with_state(script.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            axum::serve(listener, router).await.unwrap();
        });
        Self {
            address,
            script,
            _tasks: tasks,
        }
    }

    pub(crate) fn on(&self, path: &str, answers: impl IntoIterator<Item = Answer>) -> &Self {
        let mut all = self.script.answers.lock().unwrap();
        all.insert(path.to_owned(), answers.into_iter().collect());
        self
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.script.seen.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, path: &str) -> usize {
        self.seen().iter().filter(|seen| seen.path == path).count()
    }

    pub(crate) fn url(&self, path: &str) -> Url {
        Url::parse(&format!("http://{}{path}", self.address)).unwrap()
    }

    pub(crate) fn endpoints(&self) -> Endpoints {
        Endpoints {
            issuer: Some("https://id.test".to_owned()),
            jwks: Some(self.url("/jwks")),
            userinfo: Some(self.url("/userinfo")),
            ..Endpoints::new(self.url("/authorize"), self.url("/token"))
        }
    }
}

async fn answer(State(script): State<Script>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let path = parts.uri.path().to_owned();
    let seen = Seen {
        path: path.clone(),
        authorization: parts
            .headers
            .get("authorization")
            .map(|value| value.to_str().unwrap().to_owned()),
        form: form_urlencoded::parse(&body).into_owned().collect(),
    };
    let echo = format!("{seen:?} {}", String::from_utf8_lossy(&body));
    script.seen.lock().unwrap().push(seen);
    let next = {
        let mut answers = script.answers.lock().unwrap();
        match answers.get_mut(&path) {
            Some(queue) if queue.len() > 1 => queue.pop_front(),
            Some(queue) => queue.front().cloned(),
            None => None,
        }
    };
    match next {
        None => reply(404, Body::from("<h1>Not found</h1>")),
        Some(Answer::Stall) => std::future::pending().await,
        Some(Answer::StallInBody) => reply(
            200,
            Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>()),
        ),
        Some(Answer::Endless) => {
            let chunk = || Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 8192]));
            reply(200, Body::from_stream(stream::repeat_with(chunk)))
        }
        Some(Answer::Echo) => {
            let body = serde_json::json!({
                "error": echo, "error_description": echo, "error_subtype": echo,
                "correlation_id": echo, "trace_id": echo,
            });
            reply(400, Body::from(body.to_string()))
        }
        Some(Answer::Http {
            status,
            headers,
            body,
        }) => {
            let mut response = reply(status, Body::from(body));
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            response
        }
    }
}

fn reply(status: u16, body: Body) -> Response {
    Response::builder().status(status).body(body).unwrap()
}

pub(crate) fn http() -> HttpClient {
    HttpClient::try_new(&HttpSettings::default()).unwrap()
}

pub(crate) fn impatient() -> HttpClient {
    let settings = HttpSettings {
        timeout: Duration::from_millis(300),
        ..HttpSettings::default()
    };
    HttpClient::try_new(&settings).unwrap()
}

pub(crate) fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}

pub(crate) fn owned(scopes: &[&str]) -> Vec<String> {
    scopes.iter().map(|scope| (*scope).to_owned()).collect()
}

pub(crate) fn client() -> Client {
    Client {
        client_id: "mesh".to_owned(),
        client_secret: Some(secret("client-PLANTED")),
        signer: None,
        auth: TokenEndpointAuth::ClientSecretPost,
        redirect_uri: Url::parse("https://mesh.test/oauth/callback").unwrap(),
        scopes: owned(&["openid", "email", "mail"]),
        protocol_scopes: Vec::new(),
        refresh_sends_scopes: false,
        identity_claim: None,
        extra_authorize: Vec::new(),
    }
}
