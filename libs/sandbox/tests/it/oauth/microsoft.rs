use mailmesh_sandbox::Personality;
use serde_json::{Value, json};

use super::driver::{Driver, REDIRECT, SECRET, VERIFIER, overlay};
use super::flow::read_id_token;

#[tokio::test]
async fn shared_authority_names_an_issuer_template() {
    let driver = Driver::start(Personality::Microsoft).await.unwrap();
    let path = "/common/v2.0/.well-known/openid-configuration";

    let response = driver.http.get(driver.url(path)).send().await.unwrap();
    let document: Value = response.json().await.unwrap();

    assert_eq!(document["issuer"], driver.url("/{tenantid}/v2.0"));
    let token = driver.url("/common/oauth2/v2.0/token");
    assert_eq!(document["token_endpoint"], token);
}

#[tokio::test]
async fn id_token_of_a_shared_authority_names_the_tenant() {
    let driver = Driver::start(Personality::Microsoft).await.unwrap();
    let code = driver.code(&[]).await.unwrap();
    let base = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", REDIRECT),
        ("client_id", "mesh"),
        ("client_secret", SECRET),
        ("code_verifier", VERIFIER),
    ];

    let form = overlay(&base, &[]);
    let tokens = driver
        .post("/common/oauth2/v2.0/token", &form)
        .await
        .unwrap();

    let claims = read_id_token(&driver, &tokens).await.unwrap();
    let tenant = claims["tid"].as_str().unwrap();
    assert_eq!(claims["iss"], driver.url(&format!("/{tenant}/v2.0")));
    assert_eq!(claims.get("email_verified"), None);
}

#[tokio::test]
async fn reused_code_has_its_own_number() {
    let driver = Driver::start(Personality::Microsoft).await.unwrap();
    let code = driver.code(&[]).await.unwrap();
    let first = driver.exchange(&code, &[]).await.unwrap();

    let second = driver.exchange(&code, &[]).await.unwrap();

    assert_eq!(second.body["error_codes"], json!([54_005]));
    let access = first.text("access_token").unwrap();
    assert!(driver.sandbox.tokens().check_access(&access).is_ok());
}
