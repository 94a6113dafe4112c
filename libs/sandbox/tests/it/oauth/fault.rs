use std::time::Duration;

use mailmesh_sandbox::{Fault, FaultRule, Personality};
use serde_json::json;

use super::driver::{ANN, Driver, Outcome};
use super::flow::read_id_token;

/// Signs in and lets a fault wait for the next refresh.
async fn signed_in_with(fault: FaultRule) -> Outcome<(Driver, String)> {
    let driver = Driver::start(Personality::Standard).await?;
    let token = driver.sign_in(&[]).await?.text("refresh_token")?;
    driver.sandbox.faults().add(fault)?;
    Ok((driver, token))
}

#[tokio::test]
async fn throttled_refresh_carries_retry_after_and_spares_the_token() {
    let fault = Fault::Status {
        code: 429,
        retry_after: Some(17),
        body: None,
    };
    let rule = FaultRule::once("oauth.token.refresh", fault);
    let (driver, token) = signed_in_with(rule).await.unwrap();

    let throttled = driver.refresh(&token, &[]).await.unwrap();
    let after = driver.refresh(&token, &[]).await.unwrap();

    assert_eq!(throttled.status, 429);
    assert_eq!(throttled.headers["retry-after"], "17");
    assert_eq!(after.status, 200);
}

#[tokio::test]
async fn broken_provider_answers_with_a_page() {
    let fault = Fault::Status {
        code: 503,
        retry_after: None,
        body: Some("<html>Service Unavailable</html>".to_owned()),
    };
    let (driver, token) = signed_in_with(FaultRule::once("oauth.token", fault))
        .await
        .unwrap();

    let answer = driver.refresh(&token, &[]).await.unwrap();

    assert_eq!(answer.status, 503);
    assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
}

#[tokio::test]
async fn invalid_grant_may_be_a_passing_lie() {
    let fault = Fault::Status {
        code: 400,
        retry_after: None,
        body: Some(json!({"error": "invalid_grant"}).to_string()),
    };
    let mut rule = FaultRule::once("oauth.token.refresh", fault);
    rule.address = Some(ANN.to_owned());
    let (driver, token) = signed_in_with(rule).await.unwrap();

    let lie = driver.refresh(&token, &[]).await.unwrap();
    let truth = driver.refresh(&token, &[]).await.unwrap();

    assert_eq!(
        (lie.status, lie.text("error").unwrap().as_str()),
        (400, "invalid_grant")
    );
    assert_eq!(truth.status, 200);
}

#[tokio::test]
async fn stalled_request_goes_on_when_faults_are_cleared() {
    let rule = FaultRule::once("oauth.token", Fault::Stall { seconds: None });
    let (driver, token) = signed_in_with(rule).await.unwrap();

    let request = driver.refresh(&token, &[]);
    let early = tokio::time::timeout(Duration::from_millis(200), request).await;
    assert!(early.is_err(), "it answered in spite of the stall");

    let rule = FaultRule::once("oauth.token", Fault::Stall { seconds: None });
    driver.sandbox.faults().add(rule).unwrap();
    let clear = async {
        while !driver.sandbox.faults().is_empty() {
            tokio::task::yield_now().await;
        }
        driver.sandbox.faults().clear();
    };
    let (answer, ()) = tokio::join!(driver.refresh(&token, &[]), clear);
    assert_eq!(answer.unwrap().status, 200);
}

#[tokio::test]
async fn cut_connection_brings_no_answer() {
    let rule = FaultRule::once("oauth.token", Fault::Cut);
    let (driver, token) = signed_in_with(rule).await.unwrap();

    assert!(driver.refresh(&token, &[]).await.is_err());
    assert_eq!(driver.refresh(&token, &[]).await.unwrap().status, 200);
}

#[tokio::test]
async fn lost_answer_leaves_the_old_token_used() {
    let rule = FaultRule::once("oauth.after_token", Fault::Cut);
    let (driver, token) = signed_in_with(rule).await.unwrap();

    assert!(driver.refresh(&token, &[]).await.is_err());

    let again = driver.refresh(&token, &[]).await.unwrap();
    assert_eq!(again.text("error").unwrap(), "invalid_grant");
    let counts = driver.sandbox.oauth_counters().mailboxes[ANN];
    assert_eq!((counts.refreshes, counts.refused_refreshes), (1, 1));
}

#[tokio::test]
async fn endless_body_is_as_long_as_it_says() {
    let bytes = 3_000_000;
    let rule = FaultRule::once("oauth.token", Fault::HugeLiteral { bytes });
    let (driver, token) = signed_in_with(rule).await.unwrap();

    let answer = driver.refresh(&token, &[]).await.unwrap();

    assert_eq!(answer.body.as_str().unwrap().len(), 3_000_000);
}

#[tokio::test]
async fn id_token_can_be_made_to_lie() {
    let driver = Driver::start(Personality::Standard).await.unwrap();
    let text = json!({"nonce": "stolen", "email": null}).to_string();
    let rule = FaultRule::once("oauth.id_token", Fault::Reply { text });
    driver.sandbox.faults().add(rule).unwrap();

    let tokens = driver.sign_in(&[]).await.unwrap();

    let claims = read_id_token(&driver, &tokens).await.unwrap();
    assert_eq!(claims["nonce"], "stolen");
    assert_eq!(claims.get("email"), None);
}

#[tokio::test]
async fn answer_at_the_redirect_uri_can_be_replaced() {
    let driver = Driver::start(Personality::Standard).await.unwrap();
    let text = "error=temporarily_unavailable&state={state}".to_owned();
    let rule = FaultRule::once("oauth.redirect", Fault::Reply { text });
    driver.sandbox.faults().add(rule).unwrap();

    let sent = driver.consent(&[("state", "abc")]).await.unwrap();

    assert_eq!(sent["error"], "temporarily_unavailable");
    assert_eq!(sent["state"], "abc");
}
