use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use mailmesh_sandbox::Personality;
use serde_json::Value;

use super::driver::{ANN, Answer, Driver, Outcome, REDIRECT, SECRET, VERIFIER, overlay, settings};

/// Verifies an id token with another library and the published keys.
pub(super) async fn read_id_token(driver: &Driver, answer: &Answer) -> Outcome<Value> {
    let token = answer.text("id_token")?;
    let keys: JwkSet = driver
        .http
        .get(driver.url("/jwks"))
        .send()
        .await?
        .json()
        .await?;
    let kid = decode_header(&token)?.kid.ok_or("no kid")?;
    let key = keys.find(&kid).ok_or("unknown kid")?;
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_audience(&["mesh"]);
    let decoded = decode::<Value>(&token, &DecodingKey::from_jwk(key)?, &validation)?;
    Ok(decoded.claims)
}

#[tokio::test]
async fn owner_consents_on_the_page_and_the_client_gets_tokens() {
    let driver = Driver::start(Personality::Standard).await.unwrap();

    let (status, _, page) = driver.open(&[("login_hint", ANN)]).await.unwrap();
    assert_eq!(status, 200);
    assert!(page.contains(
        r#"<input type="radio" name="mailbox" value="ann@sandbox.test" required checked>"#
    ));
    assert!(page.contains(r#"name="state" value="st/ate+1""#));

    let sent = driver.consent(&[]).await.unwrap();
    assert_eq!(sent["state"], "st/ate+1");
    assert_eq!(sent["iss"], driver.sandbox.addresses().issuer);
    assert_eq!(sent["from"], "sandbox", "the registered query is kept");

    let tokens = driver.exchange(&sent["code"], &[]).await.unwrap();
    assert_eq!(tokens.status, 200);
    assert_eq!(tokens.headers["cache-control"], "no-store");
    assert_eq!(tokens.body["expires_in"], 3_600);
    assert_eq!(tokens.body["scope"], "openid email mail");
    assert!(tokens.text("access_token").unwrap().len() < 64);

    let claims = read_id_token(&driver, &tokens).await.unwrap();
    assert_eq!(claims["iss"], driver.sandbox.addresses().issuer);
    assert_eq!(claims["nonce"], "n-1");
    assert_eq!(claims["email"], ANN);

    let access = tokens.text("access_token").unwrap();
    let owner = driver.userinfo(&access).await.unwrap();
    assert_eq!(owner.body["sub"], claims["sub"]);
    let holder = driver.sandbox.tokens().check_access(&access).unwrap();
    assert_eq!(holder.address, ANN);
    driver.sandbox.stop().await;
}

#[tokio::test]
async fn discovery_names_every_endpoint() {
    let driver = Driver::start(Personality::Standard).await.unwrap();

    for path in [
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
    ] {
        let response = driver.http.get(driver.url(path)).send().await.unwrap();
        let document: Value = response.json().await.unwrap();

        assert_eq!(document["issuer"], driver.sandbox.addresses().issuer);
        assert_eq!(document["token_endpoint"], driver.url("/token"));
        assert_eq!(document["jwks_uri"], driver.url("/jwks"));
        assert_eq!(
            document["authorization_response_iss_parameter_supported"],
            true
        );
    }
}

#[tokio::test]
async fn subject_is_stable_per_mailbox() {
    let driver = Driver::start(Personality::Standard).await.unwrap();
    let mut subjects = Vec::new();

    for mailbox in [ANN, ANN, "bob@sandbox.test"] {
        let tokens = driver.sign_in(&[("mailbox", mailbox)]).await.unwrap();
        let claims = read_id_token(&driver, &tokens).await.unwrap();
        subjects.push(claims["sub"].clone());
    }

    assert_eq!(subjects[0], subjects[1]);
    assert_ne!(subjects[0], subjects[2]);
}

#[tokio::test]
async fn client_secret_is_taken_from_a_form_encoded_basic_header() {
    let driver = Driver::start(Personality::Standard).await.unwrap();
    let code = driver.code(&[]).await.unwrap();
    let base = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
    ];
    let encoded: String = url::form_urlencoded::byte_serialize(SECRET.as_bytes()).collect();

    let response = driver
        .http
        .post(driver.url("/token"))
        .basic_auth("mesh", Some(encoded))
        .form(&overlay(&base, &[]))
        .send()
        .await
        .unwrap();

    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn public_client_signs_in_with_its_verifier_alone() {
    let driver = Driver::start(Personality::Standard).await.unwrap();
    let code = driver.code(&[("client_id", "phone")]).await.unwrap();

    let fields = [("client_id", "phone"), ("client_secret", "")];
    let tokens = driver.exchange(&code, &fields).await.unwrap();

    assert_eq!(tokens.status, 200);
}

#[tokio::test]
async fn unticked_scope_is_not_granted() {
    let driver = Driver::start(Personality::Google).await.unwrap();
    let form = [("ticked", "1"), ("granted", "openid")];

    let tokens = driver.sign_in(&form).await.unwrap();

    assert_eq!(tokens.body["scope"], "openid");
}

#[tokio::test]
async fn wrong_password_leaves_the_owner_on_the_page() {
    let mut settings = settings(Personality::Standard);
    settings.ask_password = true;
    let driver = Driver::start_with(settings).await.unwrap();

    let (status, location, page) = driver.decide(&[("password", "guess")]).await.unwrap();
    assert_eq!((status, location), (200, None));
    assert!(page.contains("The password is wrong."));

    let sent = driver.consent(&[("password", "open sesame")]).await;
    assert!(sent.unwrap().contains_key("code"));
}

#[tokio::test]
async fn answer_by_form_post_carries_code_and_state() {
    let driver = Driver::start(Personality::Microsoft).await.unwrap();

    let fields = [("response_mode", "form_post")];
    let (status, location, page) = driver.decide(&fields).await.unwrap();

    assert_eq!((status, location), (200, None));
    assert!(page.contains("name=\"code\"") && page.contains("value=\"st/ate+1\""));
}

#[tokio::test]
async fn consent_is_given_without_a_page_only_when_the_settings_say_so() {
    let mut settings = settings(Personality::Standard);
    settings.auto_consent = true;
    let automatic = Driver::start_with(settings).await.unwrap();
    let asking = Driver::start(Personality::Standard).await.unwrap();

    let (_, sent, _) = automatic.open(&[("login_hint", ANN)]).await.unwrap();
    let (status, none, _) = asking.open(&[("login_hint", ANN)]).await.unwrap();

    assert!(sent.unwrap().as_str().contains("code="));
    assert_eq!((status, none), (200, None));
}
