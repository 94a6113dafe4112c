use ::http::header::RETRY_AFTER;
use mailmesh_domain::{MustAct, VerdictKind};

use super::*;

use MustAct::{Administrator, MailboxOwner, Nobody, TenantAdministrator};
use VerdictKind::{NeedsAdministrator, NeedsSignIn, Permanent, Throttled, Transient, Unknown};

fn refused(operation: Operation, status: u16, body: &str) -> ProviderRefusal {
    let status = StatusCode::from_u16(status).unwrap();
    ProviderRefusal::from_answer(operation, status, &HeaderMap::new(), body.as_bytes(), &[])
}

fn entra(error: &str, code: u32) -> String {
    format!(
        r#"{{"error":"{error}","error_description":"AADSTS{code}: Something happened. Trace ID: 1","error_codes":[{code}],"timestamp":"2026-11-01 10:00:00Z","trace_id":"0f1e","correlation_id":"c0ffee","error_uri":"https://login.microsoftonline.com/error?code={code}"}}"#
    )
}

const MICROSOFT: &[(&str, u32, VerdictKind, MustAct, bool)] = &[
    ("invalid_grant", 700_082, NeedsSignIn, MailboxOwner, false),
    ("invalid_grant", 50173, NeedsSignIn, MailboxOwner, false),
    ("invalid_grant", 70000, NeedsSignIn, MailboxOwner, false),
    ("invalid_grant", 50076, NeedsSignIn, MailboxOwner, false),
    (
        "interaction_required",
        50079,
        NeedsSignIn,
        MailboxOwner,
        false,
    ),
    ("invalid_grant", 65001, NeedsSignIn, MailboxOwner, false),
    ("invalid_grant", 50020, NeedsSignIn, MailboxOwner, false),
    (
        "access_denied",
        90094,
        NeedsAdministrator,
        TenantAdministrator,
        false,
    ),
    (
        "access_denied",
        53003,
        NeedsAdministrator,
        TenantAdministrator,
        false,
    ),
    (
        "invalid_grant",
        530_032,
        NeedsAdministrator,
        TenantAdministrator,
        false,
    ),
    (
        "invalid_grant",
        50057,
        NeedsAdministrator,
        TenantAdministrator,
        false,
    ),
    (
        "invalid_client",
        7_000_222,
        NeedsAdministrator,
        Administrator,
        true,
    ),
    (
        "invalid_client",
        7_000_215,
        NeedsAdministrator,
        Administrator,
        true,
    ),
    (
        "unauthorized_client",
        700_016,
        NeedsAdministrator,
        Administrator,
        true,
    ),
    (
        "invalid_request",
        50194,
        NeedsAdministrator,
        Administrator,
        true,
    ),
    (
        "invalid_request",
        90002,
        NeedsAdministrator,
        Administrator,
        true,
    ),
    (
        "invalid_scope",
        70011,
        NeedsAdministrator,
        Administrator,
        false,
    ),
    (
        "invalid_grant",
        90009,
        NeedsAdministrator,
        Administrator,
        false,
    ),
    ("temporarily_unavailable", 90033, Transient, Nobody, false),
    // The word says that the grant is dead, the number that it is not.
    ("invalid_grant", 50033, Transient, Nobody, false),
    ("invalid_grant", 90055, Throttled, Nobody, false),
    ("invalid_grant", 50053, Throttled, Nobody, false),
    ("invalid_grant", 50196, Throttled, Nobody, false),
    // Unknown numbers: the word decides.
    ("invalid_grant", 999_999, NeedsSignIn, MailboxOwner, false),
    (
        "invalid_client",
        999_999,
        NeedsAdministrator,
        Administrator,
        true,
    ),
    ("something_new", 999_999, Unknown, Administrator, false),
];

#[test]
fn microsoft_codes_are_judged() {
    for &(error, code, kind, who, concerns_client) in MICROSOFT {
        let refusal = refused(Operation::Refresh, 400, &entra(error, code));

        let verdict = refusal.verdict();
        assert_eq!((verdict.kind, verdict.who), (kind, who), "{error} {code}");
        assert_eq!(
            refusal.failure_cause().concerns_client(),
            concerns_client,
            "{code}"
        );
        assert_eq!(refusal.code(), Some(format!("AADSTS{code}")));
        assert_eq!(refusal.correlation_id.as_deref(), Some("c0ffee"));
        assert_eq!(refusal.trace_id.as_deref(), Some("0f1e"));
        assert!(!refusal.responsibility(History::WORKS).action.is_empty());
    }
}

const OTHERS: &[(u16, &str, VerdictKind, MustAct, &str)] = &[
    (
        400,
        r#"{"error":"invalid_grant","error_description":"Token has been expired or revoked."}"#,
        NeedsSignIn,
        MailboxOwner,
        "invalid_grant",
    ),
    (
        400,
        r#"{"error":"invalid_grant","error_description":"Bad Request"}"#,
        NeedsSignIn,
        MailboxOwner,
        "invalid_grant",
    ),
    (
        400,
        r#"{"error":"invalid_grant","error_description":"reauth related error (invalid_rapt)","error_subtype":"invalid_rapt"}"#,
        NeedsSignIn,
        MailboxOwner,
        "invalid_rapt",
    ),
    (
        401,
        r#"{"error":"invalid_client","error_description":"Unauthorized"}"#,
        NeedsAdministrator,
        Administrator,
        "invalid_client",
    ),
    (
        401,
        r#"{"error":"deleted_client","error_description":"The OAuth client was deleted."}"#,
        NeedsAdministrator,
        Administrator,
        "deleted_client",
    ),
    (
        401,
        r#"{"error":"disabled_client"}"#,
        NeedsAdministrator,
        Administrator,
        "disabled_client",
    ),
    (
        400,
        r#"{"error":"unauthorized_client"}"#,
        NeedsAdministrator,
        Administrator,
        "unauthorized_client",
    ),
    (
        400,
        r#"{"error":"admin_policy_enforced"}"#,
        NeedsAdministrator,
        TenantAdministrator,
        "admin_policy_enforced",
    ),
    (
        400,
        r#"{"error":"invalid_scope"}"#,
        NeedsAdministrator,
        Administrator,
        "invalid_scope",
    ),
    (
        400,
        r#"{"error":"invalid_request"}"#,
        Permanent,
        Administrator,
        "invalid_request",
    ),
    (
        400,
        r#"{"error":"unsupported_grant_type"}"#,
        NeedsAdministrator,
        Administrator,
        "unsupported_grant_type",
    ),
    (
        400,
        r#"{"error":"slow_down"}"#,
        Throttled,
        Nobody,
        "slow_down",
    ),
    (
        403,
        r#"{"error":{"code":403,"message":"Forbidden","status":"PERMISSION_DENIED"}}"#,
        Unknown,
        Administrator,
        "PERMISSION_DENIED",
    ),
    (
        404,
        "<html>not here</html>",
        Unknown,
        Administrator,
        "HTTP 404",
    ),
    (403, "", Unknown, Administrator, "HTTP 403"),
    (
        503,
        "<html>Service Unavailable</html>",
        Transient,
        Nobody,
        "HTTP 503",
    ),
    (
        500,
        r#"{"error":"internal_failure"}"#,
        Transient,
        Nobody,
        "internal_failure",
    ),
    (408, "", Transient, Nobody, "HTTP 408"),
    // A server that is down says nothing about a grant, whatever its body claims.
    (
        502,
        r#"{"error":"invalid_grant"}"#,
        Transient,
        Nobody,
        "invalid_grant",
    ),
    (
        429,
        r#"{"error":"invalid_grant"}"#,
        Throttled,
        Nobody,
        "invalid_grant",
    ),
    (429, "", Throttled, Nobody, "HTTP 429"),
];

#[test]
fn google_and_standard_bodies_are_judged() {
    for &(status, body, kind, who, code) in OTHERS {
        let refusal = refused(Operation::Refresh, status, body);

        let verdict = refusal.verdict();
        assert_eq!((verdict.kind, verdict.who), (kind, who), "{status} {body}");
        assert_eq!(refusal.code().as_deref(), Some(code));
    }
}

#[test]
fn a_refused_code_asks_for_a_new_start() {
    let body = r#"{"error":"invalid_grant","error_description":"Malformed auth code."}"#;

    let exchange = refused(Operation::ExchangeCode, 400, body);

    assert_eq!(exchange.verdict().kind, NeedsSignIn);
    assert_eq!(exchange.failure_cause(), FailureCause::CodeSpent);
    assert_eq!(
        exchange.to_string(),
        "code exchange was refused: HTTP 400, invalid_grant"
    );
}

#[test]
fn what_the_browser_brings_back_is_judged_alike() {
    let declined = "AADSTS65004: User declined to consent to access the app.";
    for (error, description, kind, code) in [
        ("access_denied", None, NeedsSignIn, "access_denied"),
        ("access_denied", Some(declined), NeedsSignIn, "AADSTS65004"),
        (
            "access_denied",
            Some("AADSTS90094: Admin consent"),
            NeedsAdministrator,
            "AADSTS90094",
        ),
        ("org_internal", None, NeedsSignIn, "org_internal"),
        (
            "redirect_uri_mismatch",
            None,
            NeedsAdministrator,
            "redirect_uri_mismatch",
        ),
        (
            "temporarily_unavailable",
            None,
            Transient,
            "temporarily_unavailable",
        ),
        ("weird\r\nvalue", None, Unknown, "weird  value"),
    ] {
        let refusal = ProviderRefusal::from_redirect(error, description);

        assert_eq!(refusal.verdict().kind, kind, "{error}");
        assert_eq!(refusal.code().as_deref(), Some(code));
    }
}

#[test]
fn the_servers_own_delay_is_kept() {
    let mut headers = HeaderMap::new();
    headers.insert(RETRY_AFTER, "17".parse().unwrap());
    let status = StatusCode::TOO_MANY_REQUESTS;

    let refusal = ProviderRefusal::from_answer(Operation::Refresh, status, &headers, b"", &[]);

    assert_eq!(refusal.verdict().retry_after, Some(Duration::from_secs(17)));
}

#[test]
fn long_and_odd_texts_are_cut_and_cleaned() {
    let body = serde_json::json!({
        "error": "e".repeat(1_000),
        "error_description": format!("line one\r\nline two\u{7} {}", "ä".repeat(10_000)),
        "error_codes": ["no number"],
        "correlation_id": 5,
    });

    let refusal = refused(Operation::Refresh, 400, &body.to_string());

    let description = refusal.description.unwrap();
    assert!(description.starts_with("line one  line two"));
    assert_eq!(description.chars().count(), DESCRIPTION_CHARACTERS);
    assert_eq!(refusal.error.unwrap().len(), CODE_CHARACTERS);
    assert_eq!((refusal.aadsts, refusal.correlation_id), (None, None));
}

#[test]
fn an_echoed_secret_is_cut_out_in_both_its_forms() {
    let secret = SecretString::from("PLANTED/secret+value");
    let body = r#"{"error":"PLANTED/secret+value","error_description":"got PLANTED/secret+value and PLANTED%2Fsecret%2Bvalue","suberror":"PLANTED/secret+value"}"#;

    let refusal = ProviderRefusal::from_answer(
        Operation::ExchangeCode,
        StatusCode::BAD_REQUEST,
        &HeaderMap::new(),
        body.as_bytes(),
        &[&secret],
    );

    let shown = format!(
        "{refusal:?} {refusal} {:?} {:?}",
        refusal.description,
        refusal.code()
    );
    assert!(!shown.contains("PLANTED"), "{shown}");
    assert_eq!(
        refusal.description.unwrap(),
        "got [redacted] and [redacted]"
    );
}

#[test]
fn the_providers_words_stay_out_of_logs() {
    let body = r#"{"error":"invalid_grant","error_description":"AADSTS50034: The account jo@example.test does not exist"}"#;

    let refusal = refused(Operation::Refresh, 400, body);

    assert!(!format!("{refusal:?} {refusal}").contains("jo@"));
    assert!(refusal.description.unwrap().contains("jo@"));
    assert_eq!(refusal.aadsts, Some(50034));
}
