use std::time::Duration;

use mailmesh_sandbox::{Personality, TokenRefusal};
use serde_json::json;

use super::driver::{ANN, Driver, SECRET, overlay};

#[tokio::test]
async fn standard_refresh_rotates_and_reuse_revokes_the_family() {
    let driver = Driver::start(Personality::Standard).await.unwrap();
    let first = driver.sign_in(&[]).await.unwrap();
    let old = first.text("refresh_token").unwrap();

    let second = driver.refresh(&old, &[]).await.unwrap();
    let new = second.text("refresh_token").unwrap();
    assert_ne!(new, old);

    let reused = driver.refresh(&old, &[]).await.unwrap();
    assert_eq!(reused.text("error").unwrap(), "invalid_grant");
    let after = driver.refresh(&new, &[]).await.unwrap();
    assert_eq!(after.text("error").unwrap(), "invalid_grant");
    let access = second.text("access_token").unwrap();
    assert_eq!(driver.userinfo(&access).await.unwrap().status, 401);
}

#[tokio::test]
async fn microsoft_refresh_rotates_and_old_tokens_stay_valid() {
    let driver = Driver::start(Personality::Microsoft).await.unwrap();
    let scope = "openid offline_access https://outlook.office.com/IMAP.AccessAsUser.All";
    let first = driver.sign_in(&[("scope", scope)]).await.unwrap();
    let old = first.text("refresh_token").unwrap();

    let again = [("scope", scope)];
    let second = driver.refresh(&old, &again).await.unwrap();
    let third = driver.refresh(&old, &[]).await.unwrap();

    assert_ne!(second.text("refresh_token").unwrap(), old);
    assert_eq!(third.status, 200);
    assert_eq!(
        second.body["scope"],
        "openid https://outlook.office.com/IMAP.AccessAsUser.All"
    );
    assert!(second.text("access_token").unwrap().len() > 1_000);
}

#[tokio::test]
async fn google_gives_a_refresh_token_only_offline_and_at_first_consent() {
    let driver = Driver::start(Personality::Google).await.unwrap();
    let offline = ("access_type", "offline");
    let cases: [(&[_], bool); 4] = [
        (&[], false),
        (&[offline], false),
        (&[offline, ("prompt", "consent")], true),
        (&[("mailbox", "bob@sandbox.test"), offline], true),
    ];
    for (changes, wanted) in cases {
        let tokens = driver.sign_in(changes).await.unwrap();
        let given = tokens.body.get("refresh_token").is_some();
        assert_eq!(given, wanted, "{changes:?}");
    }
}

#[tokio::test]
async fn google_refresh_brings_no_new_refresh_token() {
    let driver = Driver::start(Personality::Google).await.unwrap();
    let first = driver.sign_in(&[("access_type", "offline")]).await.unwrap();
    let token = first.text("refresh_token").unwrap();

    for _ in 0..2 {
        let answer = driver.refresh(&token, &[]).await.unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body.get("refresh_token"), None);
        assert_eq!(
            answer.body["scope"],
            "openid https://www.googleapis.com/auth/userinfo.email mail"
        );
    }
}

#[tokio::test]
async fn microsoft_gives_no_refresh_token_without_offline_access() {
    let driver = Driver::start(Personality::Microsoft).await.unwrap();

    let tokens = driver.sign_in(&[]).await.unwrap();

    assert_eq!(tokens.body.get("refresh_token"), None);
}

#[tokio::test]
async fn access_token_expires_by_the_clock() {
    let driver = Driver::start(Personality::Standard).await.unwrap();
    let tokens = driver.sign_in(&[]).await.unwrap();
    let access = tokens.text("access_token").unwrap();

    driver.clock.advance(Duration::from_hours(1));

    let refused = driver.sandbox.tokens().check_access(&access);
    assert_eq!(refused, Err(TokenRefusal::Expired));
    let answer = driver.userinfo(&access).await.unwrap();
    assert_eq!(answer.status, 401);
    let challenge = answer.headers["www-authenticate"].to_str().unwrap();
    assert!(challenge.contains("invalid_token"));
}

#[tokio::test]
async fn refused_refresh_says_what_each_provider_says() {
    let google = Driver::start(Personality::Google).await.unwrap();
    let tokens = google.sign_in(&[("access_type", "offline")]).await.unwrap();
    google.sandbox.tokens().revoke_address(ANN);
    let token = tokens.text("refresh_token").unwrap();
    let answer = google.refresh(&token, &[]).await.unwrap();
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.body,
        json!({"error": "invalid_grant", "error_description": "Token has been expired or revoked."})
    );

    let microsoft = Driver::start(Personality::Microsoft).await.unwrap();
    let fields = [("client_secret", "the-secret-id")];
    let answer = microsoft.refresh("unknown", &fields).await.unwrap();
    assert_eq!(answer.status, 401);
    assert_eq!(answer.body["error_codes"], json!([7_000_215]));
    assert!(
        answer
            .text("error_description")
            .unwrap()
            .starts_with("AADSTS7000215: ")
    );
    assert_eq!(answer.text("correlation_id").unwrap().len(), 36);
}

#[tokio::test]
async fn scope_of_a_refresh_may_shrink_and_never_grow() {
    let driver = Driver::start(Personality::Standard).await.unwrap();
    let first = driver.sign_in(&[]).await.unwrap();
    let token = first.text("refresh_token").unwrap();

    let wider = [("scope", "mail calendar")];
    let refused = driver.refresh(&token, &wider).await.unwrap();
    let narrower = driver.refresh(&token, &[("scope", "mail")]).await.unwrap();

    assert_eq!(refused.text("error").unwrap(), "invalid_scope");
    assert_eq!(narrower.body["scope"], "mail");
    let access = narrower.text("access_token").unwrap();
    assert_eq!(driver.userinfo(&access).await.unwrap().status, 403);
}

#[tokio::test]
async fn revoked_token_is_inactive_and_so_is_its_sibling() {
    let driver = Driver::start(Personality::Standard).await.unwrap();
    let tokens = driver.sign_in(&[]).await.unwrap();
    let (access, refresh) = (
        tokens.text("access_token").unwrap(),
        tokens.text("refresh_token").unwrap(),
    );
    let client = [("client_id", "mesh"), ("client_secret", SECRET)];
    let with = |token: &str| overlay(&client, &[("token", token)]);

    let before = driver.post("/introspect", &with(&access)).await.unwrap();
    assert_eq!(before.body["active"], true);
    assert_eq!(before.body["username"], ANN);
    let kind = driver.post("/introspect", &with(&refresh)).await.unwrap();
    assert_eq!(kind.body["token_type"], "refresh_token");

    let revoked = driver.post("/revoke", &with(&refresh)).await.unwrap();
    assert_eq!(revoked.status, 200);

    let after = driver.post("/introspect", &with(&access)).await.unwrap();
    assert_eq!(after.body, json!({"active": false}));
    let unknown = driver.post("/revoke", &with("never issued")).await.unwrap();
    assert_eq!(unknown.status, 200);
}

#[tokio::test]
async fn revoking_at_google_ends_the_owners_other_grants_and_consent() {
    let driver = Driver::start(Personality::Google).await.unwrap();
    let offline = [("access_type", "offline"), ("prompt", "consent")];
    let one = driver.sign_in(&offline).await.unwrap();
    let other = driver.sign_in(&offline).await.unwrap();

    let form = [("token".to_owned(), one.text("access_token").unwrap())];
    assert_eq!(driver.post("/revoke", &form).await.unwrap().status, 200);

    let token = other.text("refresh_token").unwrap();
    assert_eq!(driver.refresh(&token, &[]).await.unwrap().status, 400);
    let fresh = driver.sign_in(&[("access_type", "offline")]).await.unwrap();
    assert!(fresh.body.get("refresh_token").is_some(), "consent is new");
}
