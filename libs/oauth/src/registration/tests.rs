use mailmesh_domain::{Flow, Protocol};

use super::*;
use crate::http::HttpSettings;

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

fn registration(authorize: &str, issuer: &str) -> Registration {
    Registration {
        profile: Profile::Custom,
        flow: Flow::User,
        client_id: "mesh".to_owned(),
        client_secret: None,
        signer: None,
        auth: None,
        issuer: Some(url(issuer)),
        authorize: Some(url(authorize)),
        token: Some(url("https://id.test/token")),
        userinfo: None,
        jwks: None,
        scopes: vec!["openid".to_owned(), "offline_access".to_owned()],
        identity_claim: None,
        extra_authorize: Vec::new(),
    }
}

async fn resolve(registration: &Registration) -> (Endpoints, Client) {
    let http = HttpClient::try_new(&HttpSettings::default()).unwrap();
    let redirect_uri = url("https://mail.test/oauth/callback");
    registration.resolve(&http, &redirect_uri).await.unwrap()
}

#[test]
fn lasting_access_is_asked_for_by_scope_or_by_googles_parameter() {
    let offline = |value: &str| vec![("access_type".to_owned(), value.to_owned())];
    let scopes = |text: &str| vec![text.to_owned()];
    let in_url = url("https://id.test/authorize?access_type=offline");
    for (profile, scopes, extra, authorize, is_asked) in [
        (Profile::Custom, scopes("openid"), Vec::new(), None, false),
        (
            Profile::Custom,
            scopes("offline_access"),
            Vec::new(),
            None,
            true,
        ),
        (
            Profile::Custom,
            scopes("openid"),
            offline("offline"),
            None,
            true,
        ),
        (
            Profile::Custom,
            scopes("openid"),
            Vec::new(),
            Some(in_url),
            true,
        ),
        (Profile::Google, scopes("openid"), Vec::new(), None, true),
        (
            Profile::Google,
            scopes("openid"),
            offline("online"),
            None,
            false,
        ),
        (
            Profile::Microsoft,
            scopes("openid"),
            Vec::new(),
            None,
            false,
        ),
    ] {
        let registration = Registration {
            profile,
            scopes,
            extra_authorize: extra,
            authorize,
            ..registration("https://id.test/authorize", "https://id.test")
        };
        assert_eq!(
            registration.asks_offline_access(),
            is_asked,
            "{registration:?}"
        );
    }
}

#[tokio::test]
async fn offline_access_is_asked_for_with_consent_unless_the_administrator_says_otherwise() {
    let consent = [("prompt".to_owned(), "consent".to_owned())];
    let mut plain = registration("https://id.test/auth", "https://id.test");
    assert_eq!(resolve(&plain).await.1.extra_authorize, consent);

    let written = registration("https://id.test/auth?prompt=login", "https://id.test");
    assert!(resolve(&written).await.1.extra_authorize.is_empty());

    plain.extra_authorize = vec![("prompt".to_owned(), "login".to_owned())];
    assert_eq!(
        resolve(&plain).await.1.extra_authorize,
        plain.extra_authorize
    );
    plain.extra_authorize.clear();
    plain.scopes.pop();
    assert!(resolve(&plain).await.1.extra_authorize.is_empty());
}

#[tokio::test]
async fn given_endpoints_take_the_issuer_by_name_or_by_its_document() {
    for (given, issuer) in [
        ("https://id.test", "https://id.test"),
        (
            "https://id.test/.well-known/openid-configuration",
            "https://id.test",
        ),
        (
            "https://id.test/a/.well-known/openid-configuration",
            "https://id.test/a",
        ),
    ] {
        let (endpoints, _) = resolve(&registration("https://id.test/auth", given)).await;
        assert_eq!(endpoints.issuer.as_deref(), Some(issuer));
    }
}

#[tokio::test]
async fn urls_that_are_written_out_drop_nothing_that_the_profile_knows() {
    let tenant = "72f988bf-86f1-41af-91ab-2d7cd011db47";
    let at = |host: &str, tenant: &str| format!("https://{host}/{tenant}");
    let of = |host: &str, tenant: &str| format!("https://{host}/{tenant}/v2.0");
    let global = "login.microsoftonline.com";
    let keys = |host: &str, tenant: &str| at(host, &format!("{tenant}/discovery/v2.0/keys"));
    for (profile, authorize, issuer, expected, jwks) in [
        (
            Profile::Google,
            "https://accounts.google.com/o/oauth2/auth".to_owned(),
            None,
            "https://accounts.google.com".to_owned(),
            "https://www.googleapis.com/oauth2/v3/certs".to_owned(),
        ),
        (
            Profile::Google,
            "https://accounts.google.com/o/oauth2/auth".to_owned(),
            Some("https://accounts.google.com".to_owned()),
            "https://accounts.google.com".to_owned(),
            "https://www.googleapis.com/oauth2/v3/certs".to_owned(),
        ),
        (
            Profile::Microsoft,
            at(global, "common/oauth2/v2.0/authorize"),
            Some(at(global, tenant)),
            of(global, tenant),
            keys(global, tenant),
        ),
        (
            Profile::Microsoft,
            at(
                "login.microsoftonline.us",
                "organizations/oauth2/v2.0/authorize",
            ),
            None,
            of("login.microsoftonline.us", "{tenantid}"),
            keys("login.microsoftonline.us", "organizations"),
        ),
        (
            Profile::Microsoft,
            "https://proxy.test/authorize".to_owned(),
            None,
            of(global, "{tenantid}"),
            keys(global, "common"),
        ),
    ] {
        let given = Registration {
            profile,
            issuer: issuer.as_deref().map(url),
            ..registration(&authorize, "https://unused.test")
        };
        let (endpoints, _) = resolve(&given).await;
        assert_eq!(endpoints.authorize.as_str(), authorize);
        assert_eq!(endpoints.token.as_str(), "https://id.test/token");
        assert_eq!(endpoints.issuer, Some(expected), "{authorize}");
        assert_eq!(endpoints.jwks, Some(url(&jwks)), "{authorize}");
    }
}

#[tokio::test]
async fn another_issuer_than_the_profiles_brings_its_own_keys() {
    let given = Registration {
        profile: Profile::Google,
        jwks: Some(url("https://id.test/keys")),
        ..registration("https://id.test/auth", "https://id.test")
    };

    let (endpoints, _) = resolve(&given).await;

    assert_eq!(endpoints.issuer.as_deref(), Some("https://id.test"));
    assert_eq!(endpoints.jwks, given.jwks);
    assert_eq!(endpoints.userinfo, None);
}

#[tokio::test]
async fn one_url_that_is_written_out_is_used_as_well() {
    let mut given = registration("https://proxy.test/authorize", "https://unused.test");
    given.profile = Profile::Google;
    (given.issuer, given.token) = (None, None);

    let (endpoints, _) = resolve(&given).await;

    assert_eq!(endpoints.authorize.as_str(), "https://proxy.test/authorize");
    assert_eq!(
        endpoints.token.as_str(),
        "https://oauth2.googleapis.com/token"
    );
}

#[tokio::test]
async fn pop3_scope_is_asked_for_only_where_pop3_is_spoken() {
    let imap = "https://outlook.office.com/IMAP.AccessAsUser.All";
    let pop3 = "https://outlook.office.com/POP.AccessAsUser.All";
    let mut given = registration("https://unused.test", "https://unused.test");
    given.profile = Profile::Microsoft;
    (given.authorize, given.token, given.issuer) = (None, None, None);
    given.scopes = vec!["openid".to_owned(), imap.to_owned()];

    let (_, client) = resolve(&given).await;

    assert_eq!(client.for_protocols(&[Protocol::Imap]).scopes, given.scopes);
    let scopes = client
        .for_protocols(&[Protocol::Imap, Protocol::Pop3])
        .scopes;
    assert_eq!(scopes, ["openid", imap, pop3]);
    given.scopes.push(pop3.to_owned());
    let (_, client) = resolve(&given).await;
    assert_eq!(client.for_protocols(&[Protocol::Pop3]).scopes, given.scopes);
}
