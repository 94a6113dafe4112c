use std::time::Duration;

use mailmesh_domain::{History, MustAct};
use mailmesh_oauth::{Operation, Provider, check_provider};

use crate::fake::{Answer, Fake, client, http, json, status};

const KEYS: &str = r#"{"keys":[{"kty":"RSA","kid":"a","n":"AQAB","e":"AQAB"}]}"#;
const LIMIT: Duration = Duration::from_millis(500);

async fn check(keys: Answer, token: Answer) -> (Fake, Vec<(Option<Operation>, String, MustAct)>) {
    let fake = Fake::start().await;
    fake.on("/jwks", [keys]).on("/token", [token]);
    let provider = Provider {
        http: http(),
        endpoints: fake.endpoints(),
        client: client(),
    };
    let failures = check_provider(&provider, LIMIT).await;
    let told = failures.iter().map(|error| {
        let who = error.responsibility(History::NEW).verdict.who;
        let operation = error.refusal().map(|refusal| refusal.operation);
        (operation, error.to_string(), who)
    });
    let told = told.collect();
    (fake, told)
}

#[tokio::test]
async fn a_refusal_of_the_request_itself_proves_a_token_endpoint() {
    for token in [
        status(400, r#"{"error":"invalid_request"}"#),
        status(401, r#"{"error":"invalid_client"}"#),
        status(400, r#"{"error":"invalid_request","error_codes":[900144]}"#),
        status(403, ""),
        json(r#"{"error":"bad_refresh_token"}"#),
    ] {
        let (fake, failures) = check(json(KEYS), token.clone()).await;

        assert!(failures.is_empty(), "{token:?}: {failures:?}");
        let seen = fake.seen();
        let asked = seen.iter().find(|seen| seen.path == "/token").unwrap();
        assert_eq!(asked.form["grant_type"], "refresh_token");
        assert_eq!(asked.authorization, None);
        assert!(
            !format!("{seen:?}").contains("PLANTED"),
            "no secret is sent"
        );
    }
}

#[tokio::test]
async fn what_is_no_token_endpoint_or_key_set_is_told_apart_and_both_are() {
    for (keys, token, expected) in [
        (
            json(KEYS),
            status(404, "<h1>Not found</h1>"),
            vec![(
                "token endpoint check was refused: HTTP 404",
                MustAct::Administrator,
            )],
        ),
        (
            json(KEYS),
            status(503, r#"{"error":"temporarily_unavailable"}"#),
            vec![(
                "token endpoint check was refused: HTTP 503",
                MustAct::Nobody,
            )],
        ),
        (
            json(KEYS),
            json("{}"),
            vec![("token endpoint check got an answer", MustAct::Administrator)],
        ),
        (
            json(r#"{"keys":[{"kty":"unheard-of"}]}"#),
            Answer::Stall,
            vec![
                ("key set request got an answer", MustAct::Administrator),
                ("token endpoint check timed out", MustAct::Administrator),
            ],
        ),
        (
            json("<html>"),
            status(400, r#"{"error":"invalid_request"}"#),
            vec![("key set request got an answer", MustAct::Administrator)],
        ),
    ] {
        let (_, failures) = check(keys, token).await;

        assert_eq!(failures.len(), expected.len(), "{failures:?}");
        for ((_, told, who), (begins, expected_who)) in failures.iter().zip(expected) {
            assert!(told.starts_with(begins), "{told}");
            assert_eq!(*who, expected_who, "{told}");
        }
    }
}
