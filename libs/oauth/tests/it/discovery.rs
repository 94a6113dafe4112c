use mailmesh_domain::{TokenEndpointAuth, VerdictKind};
use mailmesh_oauth::{OAuthError, discover};
use serde_json::{Value, json as value};

use crate::fake::{Answer, Fake, http, json, status};

const OPENID: &str = "/realms/a/.well-known/openid-configuration";
const OAUTH: &str = "/.well-known/oauth-authorization-server/realms/a";

fn metadata(fake: &Fake) -> Value {
    value!({
        "issuer": fake.url("/realms/a"),
        "authorization_endpoint": fake.url("/authorize"),
        "token_endpoint": fake.url("/token"),
        "userinfo_endpoint": fake.url("/userinfo"),
        "jwks_uri": fake.url("/jwks"),
        "token_endpoint_auth_methods_supported": ["private_key_jwt", "client_secret_post"],
        "scopes_supported": ["openid", "mail"],
        "authorization_response_iss_parameter_supported": true,
    })
}

fn document(metadata: &Value) -> Answer {
    json(&metadata.to_string())
}

#[tokio::test]
async fn openid_metadata_is_read() {
    let fake = Fake::start().await;
    let metadata = metadata(&fake);
    fake.on(OPENID, [document(&metadata)]);

    for asked in ["/realms/a", "/realms/a/", OPENID] {
        let found = discover(&http(), &fake.url(asked)).await.unwrap();

        assert_eq!(found.issuer.as_deref(), metadata["issuer"].as_str());
        assert_eq!(found.authorize, fake.url("/authorize"));
        assert_eq!(found.token, fake.url("/token"));
        assert_eq!(found.userinfo, Some(fake.url("/userinfo")));
        assert_eq!(found.jwks, Some(fake.url("/jwks")));
        assert_eq!(found.preferred_auth(), TokenEndpointAuth::ClientSecretPost);
        assert!(found.iss_parameter_supported);
    }
}

#[tokio::test]
async fn rfc_8414_metadata_is_found_where_openid_is_absent() {
    let fake = Fake::start().await;
    let mut metadata = metadata(&fake);
    metadata
        .as_object_mut()
        .unwrap()
        .remove("token_endpoint_auth_methods_supported");
    fake.on(OAUTH, [document(&metadata)]);

    let found = discover(&http(), &fake.url("/realms/a")).await.unwrap();
    let direct = discover(&http(), &fake.url(OAUTH)).await.unwrap();

    assert_eq!(found, direct);
    assert_eq!(found.preferred_auth(), TokenEndpointAuth::ClientSecretBasic);
}

#[tokio::test]
async fn metadata_of_another_issuer_is_refused() {
    let fake = Fake::start().await;
    let mut metadata = metadata(&fake);
    metadata["issuer"] = value!("https://accounts.google.com");
    fake.on(OPENID, [document(&metadata)]);

    let error = discover(&http(), &fake.url("/realms/a")).await.unwrap_err();

    assert!(matches!(error, OAuthError::OtherIssuer { .. }), "{error:?}");
    assert_eq!(error.verdict().kind, VerdictKind::NeedsAdministrator);
}

#[tokio::test]
async fn metadata_without_a_needed_endpoint_is_refused() {
    for name in ["issuer", "authorization_endpoint", "token_endpoint"] {
        let fake = Fake::start().await;
        let mut metadata = metadata(&fake);
        // Secrets would go out in clear.
        metadata[name] = value!("http://192.0.2.1/endpoint");
        if name == "issuer" {
            metadata.as_object_mut().unwrap().remove(name);
        }
        fake.on(OPENID, [document(&metadata)]);

        let error = discover(&http(), &fake.url("/realms/a")).await.unwrap_err();

        assert!(
            matches!(error, OAuthError::Unreadable { .. }),
            "{name}: {error:?}"
        );
    }
}

#[tokio::test]
async fn metadata_without_a_usable_key_set_is_refused() {
    for (path, keys) in [
        (OPENID, Value::Null),
        (OPENID, value!("")),
        (OPENID, value!("no url")),
        (OPENID, value!(["https://id.test/jwks"])),
        (OPENID, value!("http://192.0.2.1/jwks")),
        (OAUTH, value!("http://192.0.2.1/jwks")),
        (OAUTH, Value::Null),
    ] {
        let fake = Fake::start().await;
        let mut metadata = metadata(&fake);
        metadata["jwks_uri"] = keys;
        fake.on(path, [document(&metadata)]);

        let error = discover(&http(), &fake.url("/realms/a")).await.unwrap_err();

        assert!(matches!(error, OAuthError::NoKeySet { .. }), "{error:?}");
        assert_eq!(error.verdict().kind, VerdictKind::NeedsAdministrator);
        assert!(error.action().contains("jwks_url"));
    }
    // A server of plain OAuth has none to name.
    let fake = Fake::start().await;
    let mut metadata = metadata(&fake);
    metadata["scopes_supported"] = value!(["mail"]);
    metadata.as_object_mut().unwrap().remove("jwks_uri");
    fake.on(OAUTH, [document(&metadata)]);
    let found = discover(&http(), &fake.url("/realms/a")).await.unwrap();
    assert_eq!(found.jwks, None);
}

#[tokio::test]
async fn a_provider_that_is_down_is_not_asked_elsewhere() {
    let fake = Fake::start().await;
    fake.on(OPENID, [status(503, "<html>down</html>")]);

    let error = discover(&http(), &fake.url("/realms/a")).await.unwrap_err();

    assert_eq!(error.verdict().kind, VerdictKind::Transient);
    assert_eq!(fake.count(OAUTH), 0);
}

#[tokio::test]
async fn no_metadata_at_all_is_said() {
    let fake = Fake::start().await;

    let error = discover(&http(), &fake.url("/realms/a")).await.unwrap_err();

    assert_eq!(
        error.to_string(),
        "provider discovery was refused: HTTP 404"
    );
    assert_eq!((fake.count(OPENID), fake.count(OAUTH)), (1, 1));
}
