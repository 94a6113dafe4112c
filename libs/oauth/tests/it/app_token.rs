//! Tokens that clients ask for in their own name.

use std::sync::Arc;
use std::time::Duration;

use mailmesh_domain::{Clock as _, Flow, ManualClock, SystemClock, TokenEndpointAuth};
use mailmesh_oauth::profile::{Profile, is_shared_authority};
use mailmesh_oauth::{
    Client, HttpClient, Registration, ServiceAccount, Signer, request_for_client,
    request_for_mailbox,
};
use mailmesh_secrets::ExposeSecret as _;
use serde_json::json as value;
use url::Url;

use crate::fake::{Fake, client, http, json, owned, secret};
use crate::signing::{keys, part};

const ANSWER: &str = r#"{"access_token":"at","refresh_token":"never asked for","expires_in":3599}"#;

#[tokio::test]
async fn a_client_asks_with_its_secret_and_all_its_scopes() {
    let fake = Fake::start().await;
    fake.on("/token", [json(ANSWER)]);
    let client = Client {
        scopes: owned(&["https://outlook.office365.com/.default"]),
        ..client()
    };

    let answer = request_for_client(&http(), &fake.endpoints(), &client)
        .await
        .unwrap();

    let form = &fake.seen()[0].form;
    assert_eq!(form["grant_type"], "client_credentials");
    assert_eq!(form["scope"], "https://outlook.office365.com/.default");
    assert_eq!(form["client_secret"], "client-PLANTED");
    assert_eq!(answer.access_token.expose_secret(), "at");
    assert!(answer.refresh_token.is_none());
    assert_eq!(answer.expires_in, Some(Duration::from_secs(3599)));
    assert_eq!(answer.scopes, client.scopes);
}

#[tokio::test]
async fn a_service_account_acts_for_the_login_of_the_account() {
    let fake = Fake::start().await;
    fake.on("/token", [json(ANSWER)]);
    let clock = Arc::new(ManualClock::starting_at(SystemClock.now()));
    let file = value!({
        "type": "service_account", "client_email": "mesh@p.test", "client_id": "1045",
        "private_key_id": "k1", "private_key": keys().0.serialize_pem(),
        "token_uri": "https://elsewhere.test/token",
    });
    let account = ServiceAccount::try_new(&secret(&file.to_string())).unwrap();
    let client = Client {
        client_secret: None,
        auth: TokenEndpointAuth::PrivateKeyJwt,
        scopes: owned(&["https://mail.google.com/", "more"]),
        signer: Some(Signer::of_service_account(
            account,
            Arc::clone(&clock) as Arc<_>,
        )),
        ..client()
    };
    let endpoints = fake.endpoints();

    let answer = request_for_mailbox(&http(), &endpoints, &client, "jo@corp.test")
        .await
        .unwrap();

    assert!(answer.refresh_token.is_none());
    let form = &fake.seen()[0].form;
    assert_eq!(
        form["grant_type"],
        "urn:ietf:params:oauth:grant-type:jwt-bearer"
    );
    assert_eq!(form.len(), 2, "{form:?}");
    let (header, claims) = (part(&form["assertion"], 0), part(&form["assertion"], 1));
    assert_eq!(
        (&header["alg"], &header["kid"]),
        (&"RS256".into(), &"k1".into())
    );
    assert_eq!(claims["iss"], "mesh@p.test");
    assert_eq!(claims["sub"], "jo@corp.test");
    assert_eq!(claims["aud"], endpoints.token.as_str());
    assert_eq!(claims["scope"], "https://mail.google.com/ more");
    let moment = |name: &str| claims[name].as_i64().unwrap();
    assert!(moment("exp") - moment("iat") <= 3600);
    assert!(moment("exp") > clock.now().unix_timestamp() + 3000);
}

async fn token_endpoint(profile: Profile, issuer: Option<&str>, token: Option<&str>) -> String {
    let url = |text: &str| Url::parse(text).unwrap();
    let registration = Registration {
        profile,
        flow: profile.flows()[0],
        client_id: "mesh".to_owned(),
        client_secret: Some(secret("s")),
        signer: None,
        auth: None,
        issuer: issuer.map(url),
        authorize: None,
        token: token.map(url),
        userinfo: None,
        jwks: None,
        scopes: Vec::new(),
        identity_claim: None,
        extra_authorize: Vec::new(),
    };
    let redirect_uri = url("https://mesh.test/oauth/callback");
    let http: HttpClient = http();
    let resolved = registration.resolve(&http, &redirect_uri).await;
    resolved.unwrap().0.token.to_string()
}

#[tokio::test]
async fn profiles_of_applications_know_their_endpoint_scopes_and_servers() {
    let app_only = Profile::MicrosoftAppOnly;
    let tenant = "https://login.microsoftonline.com/contoso.test/";
    let found = token_endpoint(app_only, Some(tenant), None).await;
    assert_eq!(
        found,
        "https://login.microsoftonline.com/contoso.test/oauth2/v2.0/token"
    );
    let service_account = Profile::GoogleServiceAccount;
    let found = token_endpoint(service_account, None, None).await;
    assert_eq!(found, "https://oauth2.googleapis.com/token");
    let found = token_endpoint(service_account, None, Some("https://id.test/t")).await;
    assert_eq!(found, "https://id.test/t");

    assert_eq!(app_only.flows(), [Flow::ClientCredentials]);
    for (authority, scope, mailbox) in [
        (
            tenant,
            "https://outlook.office365.com/.default",
            "outlook.office365.com",
        ),
        (
            "https://login.microsoftonline.us/t",
            "https://outlook.office365.us/.default",
            "outlook.office365.us",
        ),
    ] {
        let defaults = app_only.defaults(Some(&Url::parse(authority).unwrap()));
        assert!(defaults.protocol_scopes.is_empty());
        for scopes in [defaults.inbound_scopes, defaults.outbound_scopes] {
            assert_eq!(scopes, [scope]);
        }
        assert_eq!(defaults.mail_servers[0].host, mailbox);
    }
    assert_eq!(
        service_account.defaults(None).outbound_scopes,
        ["https://mail.google.com/"]
    );
}

#[test]
fn authorities_of_many_tenants_are_recognised() {
    for (authority, is_shared) in [
        ("https://login.microsoftonline.com/common/", true),
        ("https://login.microsoftonline.com/Organizations/v2.0", true),
        ("https://login.microsoftonline.com/consumers", true),
        ("https://login.microsoftonline.com/", true),
        ("https://login.microsoftonline.com/contoso.test/v2.0", false),
    ] {
        let url = Url::parse(authority).unwrap();
        assert_eq!(is_shared_authority(&url), is_shared, "{authority}");
    }
}
