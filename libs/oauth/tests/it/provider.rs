use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use std::io::Result;

use mailmesh_domain::{
    ClientConfigurationId, Clock, MustAct, NetworkSettings, SystemClock, VerdictKind,
};
use mailmesh_oauth::profile::Profile;
use mailmesh_oauth::{
    OAuthError, ProviderError, Providers, RegisteredClient, Registration, refresh,
};
use mailmesh_secrets::SecretString;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use url::Url;

/// A provider's metadata, as the test sets it.
struct Metadata {
    issuer: String,
    told: Arc<Mutex<(u16, String)>>,
    _serving: JoinSet<()>,
}

impl Metadata {
    async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let issuer = format!("http://{}", listener.local_addr()?);
        let told = Arc::new(Mutex::new((200, document(&issuer))));
        let telling = Arc::clone(&told);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (status, document) = lock(&telling).clone();
                answer(stream, status, &document).await.ok();
            }
        });
        Ok(Self {
            issuer,
            told,
            _serving: serving,
        })
    }

    fn say(&self, status: u16, document: String) {
        *lock(&self.told) = (status, document);
    }
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn document(issuer: &str) -> String {
    format!(
        r#"{{"issuer":"{issuer}","authorization_endpoint":"{issuer}/a","token_endpoint":"{issuer}/t","jwks_uri":"{issuer}/k"}}"#
    )
}

async fn answer(stream: TcpStream, status: u16, document: &str) -> Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 2 {
        line.clear();
    }
    let length = document.len();
    let head =
        format!("HTTP/1.1 {status} x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream
        .write_all(format!("{head}{document}").as_bytes())
        .await?;
    stream.shutdown().await
}

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

fn registration(issuer: Url) -> Registration {
    Registration {
        profile: Profile::Custom,
        flow: mailmesh_domain::Flow::User,
        client_id: "mesh".to_owned(),
        client_secret: None,
        signer: None,
        auth: None,
        issuer: Some(issuer),
        authorize: None,
        token: None,
        userinfo: None,
        jwks: None,
        scopes: Vec::new(),
        identity_claim: None,
        extra_authorize: Vec::new(),
    }
}

async fn world() -> Result<(Metadata, Providers, RegisteredClient)> {
    let metadata = Metadata::start().await?;
    let registered = RegisteredClient {
        id: ClientConfigurationId::generate(&SystemClock),
        key: "sandbox".to_owned(),
        changed_at: SystemClock.now(),
        ca_pem: None,
        redirect_uri: None,
        registration: registration(url(&metadata.issuer)),
    };
    let redirect_uri = url("http://127.0.0.1:8026/oauth/callback");
    // What was found is old at once.
    let providers = Providers::new(redirect_uri).believing_for(Duration::ZERO);
    Ok((metadata, providers, registered))
}

#[tokio::test]
async fn a_provider_whose_metadata_is_down_stays_as_it_was_found() -> Result<()> {
    let (metadata, providers, registered) = world().await?;
    let found = providers.get(&registered).await.unwrap();
    metadata.say(503, String::new());

    let kept = [
        providers.get(&registered).await.unwrap(),
        providers.get(&registered).await.unwrap(),
    ];
    let changed = RegisteredClient {
        changed_at: registered.changed_at + Duration::from_secs(1),
        ..registered
    };
    let refused = providers.get(&changed).await;

    for kept in kept {
        assert_eq!(kept.endpoints, found.endpoints);
    }
    assert!(matches!(refused, Err(ProviderError::Discovery(_))));
    Ok(())
}

#[tokio::test]
async fn a_provider_that_names_another_issuer_is_not_believed_on() -> Result<()> {
    let (metadata, providers, registered) = world().await?;
    providers.get(&registered).await.unwrap();
    metadata.say(200, document("https://elsewhere.test"));

    for _ in 0..2 {
        match providers.get(&registered).await {
            Err(ProviderError::Discovery(error)) => {
                assert_eq!(error.verdict().who, MustAct::Administrator, "{error}");
            }
            other => panic!("{other:?}"),
        }
    }
    Ok(())
}

/// Metadata at a host that the administrator has named leads to this machine under another name.
async fn led_astray(allow: &[&str]) -> Result<(Option<OAuthError>, Option<usize>)> {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await?;
    let port = elsewhere.local_addr()?.port();
    let (metadata, providers, registered) = world().await?;
    let token = format!("http://localhost:{port}/t");
    let document = document(&metadata.issuer).replace(&format!("{}/t", metadata.issuer), &token);
    metadata.say(200, document);
    let network = NetworkSettings {
        allow: allow.iter().map(|text| text.parse().unwrap()).collect(),
    };
    let providers = providers.allowing(&network);
    let provider = providers.get(&registered).await.unwrap();
    let secret = SecretString::from("refresh-token");
    let refreshing = refresh(
        &provider.http,
        &provider.endpoints,
        &provider.client,
        &secret,
        &[],
    );
    let arriving = async {
        let (mut stream, _) = elsewhere.accept().await?;
        let mut bytes = [0; 16];
        stream.read(&mut bytes).await
    };
    let arriving = tokio::time::timeout(Duration::from_secs(2), arriving);
    let (refused, came) = tokio::join!(refreshing, arriving);
    Ok((refused.err(), came.ok().and_then(Result::ok)))
}

#[tokio::test]
async fn metadata_leads_to_no_network_that_is_not_allowed() -> Result<()> {
    let (refused, came) = led_astray(&[]).await?;
    let error = refused.expect("nothing is there");
    assert!(matches!(error, OAuthError::NotPublic { .. }), "{error:?}");
    assert_eq!(error.verdict().kind, VerdictKind::NeedsAdministrator);
    assert_eq!(came, None);

    let (_, came) = led_astray(&["127.0.0.0/8", "::1"]).await?;
    assert_eq!(came, Some(16));
    Ok(())
}
