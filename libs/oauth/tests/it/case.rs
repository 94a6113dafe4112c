//! Answers of token endpoints as people report them, and their siblings.

use std::time::Duration;

use mailmesh_domain::{History, MustAct, VerdictKind};
use mailmesh_oauth::{OAuthError, TokenAnswer, exchange_code, refresh};
use mailmesh_secrets::ExposeSecret;
use serde_json::{Value, json};

use crate::fake::{Answer, Fake, client, http, json as json_answer, secret, status};

const STANDS: History = History {
    has_worked: true,
    failing_for: Duration::from_secs(1),
    is_app: false,
};

fn answer_of(case: &Value) -> Answer {
    let code = u16::try_from(case["status"].as_u64().unwrap()).unwrap();
    let body = case["body_text"].as_str().map(str::to_owned);
    let answer = status(code, &body.unwrap_or_else(|| case["body"].to_string()));
    match case["content_type"].as_str() {
        Some(content_type) => answer.header("content-type", content_type),
        None => answer,
    }
}

async fn ask(operation: &str, answer: Answer) -> Result<TokenAnswer, OAuthError> {
    let fake = Fake::start().await;
    fake.on("/token", [answer]);
    let (http, endpoints, client) = (http(), fake.endpoints(), client());
    match operation {
        "refresh" => refresh(&http, &endpoints, &client, &secret("rt"), &[]).await,
        "code" => exchange_code(&http, &endpoints, &client, &secret("c"), &secret("v")).await,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn reported_answers_are_read_or_lead_to_whoever_can_help() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../cases/answers.json")).unwrap();
    for case in &cases {
        let name = case["case"].as_str().unwrap();
        let answer = ask(case["on"].as_str().unwrap(), answer_of(case)).await;
        match name {
            "bom" | "form-encoded" => {
                let tokens = answer.expect(name);
                assert_eq!(tokens.access_token.expose_secret(), "a", "{name}");
                assert_eq!(tokens.refresh_token.unwrap().expose_secret(), "r", "{name}");
                assert_eq!(tokens.expires_in, Some(Duration::from_secs(3599)), "{name}");
            }
            "device-must-be-managed" => {
                let decided = answer.expect_err(name).responsibility(STANDS);
                assert_eq!(decided.verdict.who, MustAct::TenantAdministrator, "{name}");
                assert!(decided.action.contains("device"), "{name}");
            }
            _ => {
                let error = answer.expect_err(name);
                assert!(error.responsibility(STANDS).offers_sign_in(), "{name}");
                assert!(!error.concerns_client(), "{name}");
            }
        }
    }
    assert_eq!(cases.len(), 7);
}

#[tokio::test]
async fn a_dead_grant_in_other_words_offers_a_sign_in_once_the_mailbox_stands() {
    for (code, body) in [
        (400, json!({"error": "invalid_token"})),
        (401, json!({"error": "token_expired"})),
        (
            400,
            json!({"error": "InvalidToken", "error_description": "expired"}),
        ),
        (
            400,
            json!({"error": {"type": "OAuthException", "code": 190, "message": "expired"}}),
        ),
        (
            400,
            json!({"errors": [{"code": "1021", "message": "refresh token has expired"}]}),
        ),
        (400, json!({"message": "refresh token not found"})),
        (400, Value::Null),
        (401, Value::Null),
        (403, json!({"error": "forbidden"})),
        (422, json!({"error_description": "unprocessable"})),
        (404, json!({"error": "token_not_found"})),
        (200, json!({"error": "expired_token", "access_token": ""})),
        (200, json!({"error": 102, "reason": "token invalid"})),
        (
            200,
            json!({"errcode": 42002, "errmsg": "refresh_token expired"}),
        ),
        (200, json!({"error_description": "revoked"})),
    ] {
        let error = ask("refresh", status(code, &body.to_string())).await;
        let error = error.expect_err("a refusal");

        let works = error.responsibility(History::WORKS);
        let stands = error.responsibility(STANDS);
        assert!(!works.offers_sign_in(), "{code} {body}: {error:?}");
        assert_eq!(works.verdict.who, MustAct::Administrator, "{code} {body}");
        assert_eq!(
            stands.verdict.who,
            MustAct::MailboxOwner,
            "{code} {body}: {error:?}"
        );
        assert_eq!(stands.also, Some(MustAct::Administrator), "{code} {body}");
    }
}

#[tokio::test]
async fn a_dead_grant_is_known_in_other_spellings_of_the_standards_word() {
    for (code, body) in [
        (400, r#"{"error":"INVALID_GRANT"}"#),
        (400, r#"{"error":"invalid-grant"}"#),
        (400, r#"{"error":"InvalidGrant"}"#),
        (
            400,
            r#"{"error":"urn:ietf:params:oauth:error:invalid_grant"}"#,
        ),
        (400, r#"{"error":{"error":"invalid_grant"}}"#),
        (200, r#"{"error":"bad_refresh_token"}"#),
        (400, "error=invalid_grant&error_description=expired"),
        (200, "\u{feff}{\"error\":\"invalid_grant\"}"),
    ] {
        let error = ask("refresh", status(code, body)).await.expect_err(body);
        assert_eq!(error.verdict().kind, VerdictKind::NeedsSignIn, "{body}");
    }
}

#[tokio::test]
async fn rules_on_devices_and_access_concern_the_administrator_of_the_tenant() {
    let described = |code: u32| json!({"error": "invalid_grant", "error_description": format!("AADSTS{code}: no.")});
    let mut bodies: Vec<Value> = [
        50097, 53000, 53001, 53002, 53003, 53010, 53011, 530_002, 530_003, 530_031, 530_032,
        530_034, 530_035, 530_084,
    ]
    .map(described)
    .to_vec();
    bodies.extend([
        json!({"error_codes": [530_003]}),
        json!({"error": "invalid_grant", "error_codes": 530_003}),
        json!({"error": "invalid_grant", "error_codes": ["530003"]}),
        json!({"error": "invalid_grant", "error_codes": [999_999, 53003]}),
        json!({"error": "invalid_grant", "suberror": "protection_policy_required"}),
    ]);
    for body in bodies {
        let error = ask("refresh", status(400, &body.to_string())).await;
        let verdict = error.expect_err("a refusal").responsibility(STANDS).verdict;
        assert_eq!(verdict.who, MustAct::TenantAdministrator, "{body}");
    }
}

#[tokio::test]
async fn what_something_else_than_the_token_endpoint_says_offers_no_sign_in() {
    for answer in [
        status(404, "<h1>Not found</h1>"),
        status(405, ""),
        json_answer("<html>Sign in to the hotel network</html>"),
        status(503, r#"{"error":"invalid_token"}"#),
        status(429, ""),
        status(302, ""),
    ] {
        let error = ask("refresh", answer.clone()).await.expect_err("no answer");
        assert!(!error.responsibility(STANDS).offers_sign_in(), "{answer:?}");
    }
}

#[tokio::test]
async fn tokens_are_read_from_every_form_of_answer() {
    for (content_type, body) in [
        (
            "application/json; charset=utf-8",
            "\u{feff}\r\n{\"access_token\":\"a\"}",
        ),
        (
            "application/x-www-form-urlencoded; charset=utf-8",
            "access_token=a&scope=openid+mail",
        ),
        ("text/plain", "access_token=a&token_type=bearer\n"),
        (
            "text/html; charset=utf-8",
            "token_type=Bearer&access_token=a",
        ),
        (
            "application/x-www-form-urlencoded",
            "{\"access_token\":\"a\"}",
        ),
        ("text/javascript", "{\"access_token\":\"a\",\"error\":\"\"}"),
    ] {
        for operation in ["code", "refresh"] {
            let answer = json_answer(body).header("content-type", content_type);
            let tokens = ask(operation, answer).await.expect(body);
            assert_eq!(tokens.access_token.expose_secret(), "a", "{body}");
        }
    }
}
