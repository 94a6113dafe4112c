use std::error::Error;
use std::fmt::Write;

use mailmesh_domain::TokenEndpointAuth;
use mailmesh_oauth::{Client, OAuthError, Pkce, authorize_url, exchange_code, identify, refresh};
use time::OffsetDateTime;

use crate::fake::{Answer, Fake, client, http, impatient, json, secret, status};

// `mesh:client-PLANTED`, as HTTP Basic sends it.
const BASIC: &str = "bWVzaDpjbGllbnQtUExBTlRFRA==";
const TOKENS: &str = r#"{"access_token":"at-PLANTED","refresh_token":"rt-PLANTED","id_token":"PLANTED.PLANTED.PLANTED"}"#;

fn show(error: &OAuthError) -> String {
    let mut shown = format!("{error:?} {error} {:?} {}", error.code(), error.action());
    let mut source = error.source();
    while let Some(error) = source {
        write!(shown, " {error:?} {error}").unwrap();
        source = error.source();
    }
    if let Some(refusal) = error.refusal() {
        write!(shown, " {:?} {:?}", refusal.description, refusal.error).unwrap();
    }
    shown
}

// Whatever a careless or hostile provider may send back.
fn answers() -> Vec<Answer> {
    let bad_tokens = TOKENS.replace("PLANTED", r"PLANTED\n");
    vec![
        Answer::Echo,
        json(&bad_tokens),
        json(&TOKENS.replace('}', r#","token_type":"mac"}"#)),
        json(&TOKENS.replace("at-PLANTED\"", "at-PLANTED\",, ")),
        json(r#"{"access_token":{"value":"at-PLANTED"},"refresh_token":"rt-PLANTED"}"#),
        json(r#"["at-PLANTED"]"#),
        status(302, "").header("location", "http://127.0.0.1:1/?token=rt-PLANTED"),
        status(400, "<html>code-PLANTED rt-PLANTED client-PLANTED</html>"),
        Answer::Stall,
    ]
}

async fn errors(client: &Client, answer: Answer) -> Vec<OAuthError> {
    let fake = Fake::start().await;
    for path in ["/token", "/userinfo"] {
        fake.on(path, [answer.clone()]);
    }
    let http = match answer {
        Answer::Stall => impatient(),
        _ => http(),
    };
    let endpoints = fake.endpoints();
    let (code, verifier, token) = (
        secret("code-PLANTED/+"),
        secret("verifier-PLANTED"),
        secret("rt-PLANTED"),
    );
    let mut found = Vec::new();
    found.extend(
        exchange_code(&http, &endpoints, client, &code, &verifier)
            .await
            .err(),
    );
    found.extend(refresh(&http, &endpoints, client, &token, &[]).await.err());

    let good = Fake::start().await;
    good.on("/token", [json(TOKENS)]);
    let tokens = refresh(&http, &good.endpoints(), client, &token, &[])
        .await
        .unwrap();
    let now = OffsetDateTime::UNIX_EPOCH;
    found.extend(
        identify(&http, &endpoints, client, &tokens, None, now)
            .await
            .err(),
    );
    let without = mailmesh_oauth::TokenAnswer {
        id_token: None,
        ..tokens
    };
    found.extend(
        identify(&http, &endpoints, client, &without, None, now)
            .await
            .err(),
    );
    found
}

#[tokio::test]
async fn no_error_holds_a_secret_whatever_the_provider_sends() {
    let mut count = 0;
    for auth in [
        TokenEndpointAuth::ClientSecretPost,
        TokenEndpointAuth::ClientSecretBasic,
    ] {
        let mut client = client();
        client.auth = auth;
        for answer in answers() {
            for error in errors(&client, answer.clone()).await {
                let shown = show(&error);
                for hidden in ["PLANTED", BASIC] {
                    assert!(!shown.contains(hidden), "{answer:?}: {shown}");
                }
                count += 1;
            }
        }
    }
    assert!(count >= 50, "only {count} errors were looked at");
}

#[tokio::test]
async fn debug_of_everything_shows_no_secret() {
    let fake = Fake::start().await;
    fake.on("/token", [json(TOKENS)]);
    let (http, client) = (http(), client());

    let answer = refresh(
        &http,
        &fake.endpoints(),
        &client,
        &secret("rt-PLANTED"),
        &[],
    )
    .await
    .unwrap();
    let pkce = Pkce {
        verifier: secret("PLANTED"),
        challenge: "challenge".to_owned(),
    };
    let settings = mailmesh_oauth::HttpSettings {
        proxy: Some("http://user:PLANTED@proxy.test:3128".parse().unwrap()),
        ..Default::default()
    };
    let request = mailmesh_oauth::AuthorizeRequest {
        state: "state",
        nonce: None,
        challenge: &pkce.challenge,
        login_hint: None,
    };
    let url = authorize_url(&fake.endpoints(), &client, &request);

    let shown = format!("{answer:?} {client:?} {pkce:?} {settings:?} {http:?} {url}");
    assert!(!shown.contains("PLANTED"), "{shown}");
}
