//! What providers answer to clients that ask in their own name.

use mailmesh_domain::{MustAct, VerdictKind};

use super::*;

use MustAct::{Administrator, Nobody, TenantAdministrator};
use VerdictKind::{NeedsAdministrator, Throttled, Transient};

const APP: History = History {
    is_app: true,
    ..History::NEW
};

fn judged(operation: Operation, status: u16, body: &str) -> (ProviderRefusal, Responsibility) {
    let status = StatusCode::from_u16(status).unwrap();
    let refusal =
        ProviderRefusal::from_answer(operation, status, &HeaderMap::new(), body.as_bytes(), &[]);
    let decided = refusal.responsibility(APP);
    (refusal, decided)
}

const GOOGLE: &[(u16, &str, &str, FailureCause, MustAct, &str)] = &[
    (
        400,
        "invalid_grant",
        "Invalid JWT Signature.",
        FailureCause::KeyRefused,
        Administrator,
        "private key",
    ),
    (
        400,
        "invalid_grant",
        "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.",
        FailureCause::ClockOff,
        Administrator,
        "clock",
    ),
    (
        400,
        "invalid_grant",
        "Invalid grant: account not found",
        FailureCause::LoginUnknown,
        Administrator,
        "login",
    ),
    (
        400,
        "invalid_grant",
        "Invalid email or User ID",
        FailureCause::LoginUnknown,
        Administrator,
        "login",
    ),
    (
        400,
        "invalid_grant",
        "Words of another year",
        FailureCause::StatementRefused,
        Administrator,
        "key",
    ),
    (
        401,
        "unauthorized_client",
        "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the scopes requested.",
        FailureCause::NotDelegated,
        TenantAdministrator,
        "Domain-wide delegation",
    ),
    (
        401,
        "invalid_client",
        "The OAuth client was not found.",
        FailureCause::ClientRefused,
        Administrator,
        "client id",
    ),
    (
        401,
        "deleted_client",
        "",
        FailureCause::ClientRefused,
        Administrator,
        "still exists",
    ),
    (
        400,
        "invalid_scope",
        "",
        FailureCause::Scope,
        Administrator,
        "scopes",
    ),
    (
        400,
        "admin_policy_enforced",
        "",
        FailureCause::Policy,
        TenantAdministrator,
        "access rule",
    ),
];

#[test]
fn google_says_one_word_of_different_faults_of_a_service_account() {
    for &(status, error, words, cause, who, told) in GOOGLE {
        let body = serde_json::json!({"error": error, "error_description": words}).to_string();

        let (refusal, decided) = judged(Operation::JwtBearer, status, &body);

        assert_eq!(refusal.failure_cause(), cause, "{error} {words}");
        assert_eq!(decided.verdict.kind, NeedsAdministrator, "{error} {words}");
        assert_eq!(decided.verdict.who, who, "{error} {words}");
        assert!(
            decided.action.contains(told),
            "{error} {words}: {}",
            decided.action
        );
        assert_eq!(refusal.code().as_deref(), Some(error));
    }
}

const MICROSOFT: &[(&str, u32, MustAct, bool, &str)] = &[
    (
        "unauthorized_client",
        700_016,
        Administrator,
        true,
        "client id",
    ),
    (
        "invalid_client",
        7_000_215,
        Administrator,
        true,
        "not its id",
    ),
    (
        "invalid_client",
        7_000_222,
        Administrator,
        true,
        "new client secret",
    ),
    (
        "invalid_client",
        7_000_218,
        Administrator,
        true,
        "authentication method",
    ),
    (
        "invalid_client",
        700_027,
        Administrator,
        true,
        "certificate",
    ),
    ("invalid_client", 50012, Administrator, true, "certificate"),
    ("invalid_client", 50013, Administrator, true, "certificate"),
    ("invalid_client", 700_024, Administrator, true, "clock"),
    (
        "unauthorized_client",
        7_000_112,
        Administrator,
        true,
        "application",
    ),
    ("invalid_grant", 50034, Administrator, false, "login"),
    ("invalid_grant", 50057, TenantAdministrator, false, "enable"),
    (
        "invalid_grant",
        65001,
        TenantAdministrator,
        false,
        "application permissions",
    ),
    (
        "access_denied",
        53003,
        TenantAdministrator,
        false,
        "access rule",
    ),
    ("invalid_request", 90002, Administrator, true, "tenant"),
    ("invalid_request", 9_001_023, Administrator, true, "tenant"),
    ("invalid_scope", 70011, Administrator, false, "scopes"),
    ("invalid_resource", 500_011, Administrator, false, "scopes"),
];

#[test]
fn microsofts_numbers_lead_to_whoever_can_mend_an_application() {
    for &(error, code, who, concerns_client, told) in MICROSOFT {
        let body = format!(
            r#"{{"error":"{error}","error_description":"AADSTS{code}: Something.","error_codes":[{code}]}}"#
        );

        let (refusal, decided) = judged(Operation::ClientCredentials, 400, &body);

        let verdict = decided.verdict;
        assert_eq!(
            (verdict.kind, verdict.who),
            (NeedsAdministrator, who),
            "{code}"
        );
        assert_eq!(
            refusal.failure_cause().concerns_client(),
            concerns_client,
            "{code}"
        );
        assert!(decided.action.contains(told), "{code}: {}", decided.action);
        assert_eq!(refusal.code(), Some(format!("AADSTS{code}")));
    }
}

#[test]
fn a_provider_that_is_down_or_busy_is_tried_again() {
    for operation in [Operation::ClientCredentials, Operation::JwtBearer] {
        for (status, body, kind) in [
            (
                503,
                r#"{"error":"invalid_grant","error_description":"Invalid JWT Signature."}"#,
                Transient,
            ),
            (400, r#"{"error":"temporarily_unavailable"}"#, Transient),
            (429, "", Throttled),
        ] {
            let (_, decided) = judged(operation, status, body);

            assert_eq!(
                (decided.verdict.kind, decided.verdict.who),
                (kind, Nobody),
                "{status}"
            );
        }
    }
}
