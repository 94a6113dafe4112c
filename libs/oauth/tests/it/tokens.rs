use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mailmesh_domain::{TokenEndpointAuth, VerdictKind};
use mailmesh_oauth::{OAuthError, exchange_code, refresh};
use mailmesh_secrets::ExposeSecret;

use crate::fake::{Fake, client, http, json, owned, secret, status};

const ANSWER: &str = r#"{"access_token":"at","refresh_token":"rt","expires_in":3600,"token_type":"Bearer","scope":"openid mail","id_token":"a.b.c"}"#;

#[tokio::test]
async fn a_code_is_exchanged_with_basic_authentication() {
    let fake = Fake::start().await;
    fake.on("/token", [json(ANSWER)]);
    let mut client = client();
    client.auth = TokenEndpointAuth::ClientSecretBasic;
    client.client_id = "an id:ü".to_owned();
    client.client_secret = Some(secret("p+s/s:w&rd"));

    let answer = exchange_code(
        &http(),
        &fake.endpoints(),
        &client,
        &secret("the code"),
        &secret("the-verifier"),
    )
    .await
    .unwrap();

    let seen = &fake.seen()[0];
    let encoded = seen.authorization.as_deref().unwrap();
    let pair = STANDARD
        .decode(encoded.strip_prefix("Basic ").unwrap())
        .unwrap();
    // RFC 6749 §2.3.1: form-encoded first, then base64.
    assert_eq!(pair, b"an+id%3A%C3%BC:p%2Bs%2Fs%3Aw%26rd");
    let field = |name: &str| seen.form.get(name).map(String::as_str);
    assert_eq!(field("grant_type"), Some("authorization_code"));
    assert_eq!(field("code"), Some("the code"));
    assert_eq!(field("code_verifier"), Some("the-verifier"));
    assert_eq!(
        field("redirect_uri"),
        Some("https://mesh.test/oauth/callback")
    );
    assert_eq!((field("client_secret"), field("client_id")), (None, None));

    assert_eq!(answer.access_token.expose_secret(), "at");
    assert_eq!(answer.refresh_token.unwrap().expose_secret(), "rt");
    assert_eq!(answer.id_token.unwrap().expose_secret(), "a.b.c");
    assert_eq!(answer.expires_in, Some(Duration::from_hours(1)));
    assert_eq!(answer.scopes, owned(&["openid", "mail"]));
}

#[tokio::test]
async fn post_authentication_and_public_clients_use_the_body() {
    let fake = Fake::start().await;
    fake.on("/token", [json(ANSWER)]);
    let mut client = client();
    let (code, verifier) = (secret("c"), secret("v"));

    exchange_code(&http(), &fake.endpoints(), &client, &code, &verifier)
        .await
        .unwrap();
    client.auth = TokenEndpointAuth::None;
    exchange_code(&http(), &fake.endpoints(), &client, &code, &verifier)
        .await
        .unwrap();

    let [post, public] = &fake.seen()[..] else {
        panic!("two requests");
    };
    assert_eq!(post.form["client_id"], "mesh");
    assert_eq!(post.form["client_secret"], "client-PLANTED");
    assert_eq!(public.form["client_id"], "mesh");
    assert!(!public.form.contains_key("client_secret"));
    assert!(post.authorization.is_none() && public.authorization.is_none());
}

#[tokio::test]
async fn a_refresh_without_scopes_keeps_scopes_and_token() {
    let fake = Fake::start().await;
    fake.on(
        "/token",
        [json(
            r#"{"access_token":"at2","expires_in":3920,"token_type":"Bearer"}"#,
        )],
    );

    let scopes = owned(&["openid", "mail"]);
    let answer = refresh(
        &http(),
        &fake.endpoints(),
        &client(),
        &secret("rt"),
        &scopes,
    )
    .await
    .unwrap();

    let seen = &fake.seen()[0];
    assert_eq!(seen.form["grant_type"], "refresh_token");
    assert_eq!(seen.form["refresh_token"], "rt");
    assert!(!seen.form.contains_key("scope"));
    assert!(answer.refresh_token.is_none(), "the one before stays good");
    assert_eq!(answer.scopes, scopes);
}

#[tokio::test]
async fn a_refresh_with_scopes_brings_the_rotated_token() {
    let fake = Fake::start().await;
    fake.on("/token", [json(r#"{"access_token":"at2","refresh_token":"rt2","expires_in":"3599","ext_expires_in":"3599","refresh_token_expires_in":"86399","token_type":"bearer","scope":["mail"]}"#)]);
    let mut client = client();
    client.refresh_sends_scopes = true;

    let asked = owned(&["offline_access", "mail"]);
    let answer = refresh(&http(), &fake.endpoints(), &client, &secret("rt"), &asked)
        .await
        .unwrap();

    assert_eq!(fake.seen()[0].form["scope"], "offline_access mail");
    assert_eq!(answer.refresh_token.unwrap().expose_secret(), "rt2");
    assert_eq!(answer.expires_in, Some(Duration::from_secs(3599)));
    assert_eq!(
        answer.refresh_token_expires_in,
        Some(Duration::from_secs(86_399))
    );
    assert_eq!(answer.scopes, owned(&["mail"]));
}

#[tokio::test]
async fn odd_but_usable_answers_are_used() {
    let fake = Fake::start().await;
    let plain = json(r#"{"access_token":"at"}"#);
    fake.on(
        "/token",
        [
            plain
                .clone()
                .header("content-type", "text/plain; charset=utf-8"),
            status(201, r#"{"access_token":"at"}"#),
            json("\u{20}\n{\"access_token\":\"at\",\"error\":null}"),
        ],
    );

    for _ in 0..3 {
        let answer = refresh(&http(), &fake.endpoints(), &client(), &secret("rt"), &[])
            .await
            .unwrap();
        assert_eq!(answer.access_token.expose_secret(), "at");
        assert_eq!(answer.expires_in, None);
    }
}

#[tokio::test]
async fn answers_that_cannot_be_used_are_no_verdict_on_the_grant() {
    for body in [
        "<html>Sign in to the hotel network</html>",
        "",
        "{}",
        "[]",
        r#"{"access_token":""}"#,
        r#"{"access_token":"line\r\nbreak"}"#,
        r#"{"access_token":"at","refresh_token":"a\u0001b"}"#,
        r#"{"access_token":"at","token_type":"DPoP"}"#,
    ] {
        let fake = Fake::start().await;
        fake.on("/token", [status(200, body)]);

        let refused = refresh(&http(), &fake.endpoints(), &client(), &secret("rt"), &[]).await;

        let error = refused.expect_err(body);
        assert!(
            matches!(error, OAuthError::Unreadable { .. }),
            "{body}: {error:?}"
        );
        assert_eq!(error.verdict().kind, VerdictKind::Unknown, "{body}");
    }
}

#[tokio::test]
async fn an_error_dressed_as_success_is_an_error() {
    let fake = Fake::start().await;
    fake.on(
        "/token",
        [json(
            r#"{"error":"invalid_grant","error_description":"gone"}"#,
        )],
    );

    let refused = refresh(&http(), &fake.endpoints(), &client(), &secret("rt"), &[]).await;

    let error = refused.unwrap_err();
    assert_eq!(error.verdict().kind, VerdictKind::NeedsSignIn);
    assert_eq!(
        error.refusal().unwrap().description.as_deref(),
        Some("gone")
    );
}

#[tokio::test]
async fn refusals_come_through_with_verdict_code_and_action() {
    let expired = r#"{"error":"invalid_client","error_description":"AADSTS7000222: The provided client secret keys are expired.","error_codes":[7000222],"correlation_id":"c0ffee"}"#;
    let fake = Fake::start().await;
    fake.on(
        "/token",
        [
            status(401, expired),
            status(429, "{}").header("retry-after", "7"),
            status(503, "<html>Service Unavailable</html>")
                .header("retry-after", "Wed, 21 Oct 2026 07:29:00 GMT")
                .header("date", "Wed, 21 Oct 2026 07:28:00 GMT"),
        ],
    );
    let (endpoints, client, token) = (fake.endpoints(), client(), secret("rt"));

    let error = refresh(&http(), &endpoints, &client, &token, &[])
        .await
        .unwrap_err();
    assert_eq!(error.code().as_deref(), Some("AADSTS7000222"));
    assert_eq!(
        error.to_string(),
        "token refresh was refused: HTTP 401, invalid_client, AADSTS7000222"
    );
    assert!(error.concerns_client() && error.action().contains("new client secret"));

    let error = refresh(&http(), &endpoints, &client, &token, &[])
        .await
        .unwrap_err();
    assert_eq!(error.verdict().kind, VerdictKind::Throttled);
    assert_eq!(error.verdict().retry_after, Some(Duration::from_secs(7)));

    let error = refresh(&http(), &endpoints, &client, &token, &[])
        .await
        .unwrap_err();
    assert_eq!(error.verdict().kind, VerdictKind::Transient);
    assert_eq!(error.verdict().retry_after, Some(Duration::from_mins(1)));
    assert!(!error.concerns_client());
}
