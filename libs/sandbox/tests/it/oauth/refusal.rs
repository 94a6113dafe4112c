use std::time::Duration;

use mailmesh_sandbox::{Personality, TokenRefusal};

use super::driver::{Driver, Outcome, SECRET};

/// Exchanges a fresh code with a changed request and returns status and error.
async fn refused(
    personality: Personality,
    request: &[(&str, &str)],
    changes: &[(&str, &str)],
) -> Outcome<(u16, String)> {
    let driver = Driver::start(personality).await?;
    let code = driver.code(request).await?;
    let answer = driver.exchange(&code, changes).await?;
    Ok((answer.status, answer.text("error")?))
}

#[tokio::test]
async fn verifier_must_match_the_challenge() {
    let unchallenged = [("code_challenge", ""), ("code_challenge_method", "")];
    let cases: [(&[_], &[_]); 3] = [
        (
            &[],
            &[(
                "code_verifier",
                "another-verifier-that-is-long-enough-to-be-one",
            )],
        ),
        (&[], &[("code_verifier", "")]),
        (&unchallenged, &[]),
    ];
    for (request, changes) in cases {
        let answer = refused(Personality::Standard, request, changes)
            .await
            .unwrap();
        assert_eq!(answer, (400, "invalid_grant".to_owned()));
    }
}

#[tokio::test]
async fn client_must_prove_who_it_is() {
    let cases: [(&[_], u16, &str); 4] = [
        (&[("client_secret", "guess")], 401, "invalid_client"),
        (&[("client_secret", "")], 401, "invalid_client"),
        (&[("client_id", "stranger")], 401, "invalid_client"),
        (&[("grant_type", "password")], 400, "unsupported_grant_type"),
    ];
    for (changes, status, error) in cases {
        let answer = refused(Personality::Standard, &[], changes).await.unwrap();
        assert_eq!(answer, (status, error.to_owned()));
    }
}

#[tokio::test]
async fn two_ways_of_authentication_at_once_are_refused() {
    let driver = Driver::start(Personality::Standard).await.unwrap();

    let response = driver
        .http
        .post(driver.url("/token"))
        .basic_auth("mesh", Some("s%26cret+%2B1"))
        .form(&[("grant_type", "refresh_token"), ("client_secret", SECRET)])
        .send()
        .await
        .unwrap();

    assert_eq!(response.status(), 400);
}

#[tokio::test]
async fn redirect_uri_of_the_exchange_must_be_the_same() {
    let other = [(
        "redirect_uri",
        "http://127.0.0.1:9/receiveTokenAuthentication.htm",
    )];

    let standard = refused(Personality::Standard, &[], &other).await.unwrap();
    let google = refused(Personality::Google, &[], &other).await.unwrap();

    assert_eq!(standard, (400, "invalid_grant".to_owned()));
    assert_eq!(google, (400, "redirect_uri_mismatch".to_owned()));
}

#[tokio::test]
async fn second_use_of_a_code_revokes_what_the_first_gave() {
    let driver = Driver::start(Personality::Standard).await.unwrap();
    let code = driver.code(&[]).await.unwrap();
    let first = driver.exchange(&code, &[]).await.unwrap();

    let second = driver.exchange(&code, &[]).await.unwrap();

    assert_eq!(second.text("error").unwrap(), "invalid_grant");
    let access = first.text("access_token").unwrap();
    let refused = driver.sandbox.tokens().check_access(&access);
    assert_eq!(refused, Err(TokenRefusal::Revoked));
}

#[tokio::test]
async fn code_dies_after_ten_minutes() {
    let driver = Driver::start(Personality::Standard).await.unwrap();
    let (early, late) = (
        driver.code(&[]).await.unwrap(),
        driver.code(&[]).await.unwrap(),
    );

    driver.clock.advance(Duration::from_secs(599));
    assert_eq!(driver.exchange(&early, &[]).await.unwrap().status, 200);
    driver.clock.advance(Duration::from_secs(1));
    assert_eq!(driver.exchange(&late, &[]).await.unwrap().status, 400);
}

#[tokio::test]
async fn code_of_another_client_is_refused() {
    let changes = [("client_id", "phone"), ("client_secret", "")];

    let answer = refused(Personality::Standard, &[], &changes).await.unwrap();

    assert_eq!(answer, (400, "invalid_grant".to_owned()));
}

#[tokio::test]
async fn unknown_redirect_uri_is_shown_and_never_followed() {
    let driver = Driver::start(Personality::Standard).await.unwrap();
    let cases = [
        (
            "redirect_uri",
            "http://127.0.0.1:9/receiveTokenAuthentication.htm?from=sandbox&",
        ),
        ("redirect_uri", "http://evil.test/<script>"),
        ("client_id", "stranger"),
    ];
    for case in cases {
        let (status, location, page) = driver.open(&[case]).await.unwrap();
        assert_eq!((status, location), (400, None), "{case:?}");
        assert!(!page.contains("<script>"));

        let (status, location, _) = driver.decide(&[case]).await.unwrap();
        assert_eq!((status, location), (400, None), "{case:?}");
    }
}

#[tokio::test]
async fn refused_request_is_told_to_the_client() {
    let driver = Driver::start(Personality::Standard).await.unwrap();
    let cases: [(&[_], &str); 6] = [
        (&[("response_type", "token")], "unsupported_response_type"),
        (&[("scope", "")], "invalid_scope"),
        (&[("code_challenge_method", "plain")], "invalid_request"),
        (&[("code_challenge_method", "")], "invalid_request"),
        (
            &[
                ("client_id", "phone"),
                ("code_challenge", ""),
                ("code_challenge_method", ""),
            ],
            "invalid_request",
        ),
        (&[("prompt", "none")], "login_required"),
    ];
    for (changes, error) in cases {
        let (_, location, _) = driver.open(changes).await.unwrap();
        let query = location.unwrap();
        let query = query.query().unwrap();
        assert!(query.contains(&format!("error={error}")), "{query}");
        assert!(query.contains("state=st%2Fate%2B1"), "{query}");
    }
}

#[tokio::test]
async fn owner_who_declines_is_reported() {
    let cases = [
        (Personality::Standard, "error_description"),
        (Personality::Google, "error"),
        (Personality::Microsoft, "error_subcode"),
    ];
    for (personality, field) in cases {
        let driver = Driver::start(personality).await.unwrap();
        let sent = driver.consent(&[("decision", "deny")]).await.unwrap();
        assert_eq!(sent["error"], "access_denied");
        assert!(sent.contains_key(field));
    }
}

#[tokio::test]
async fn body_that_is_no_form_is_refused() {
    let driver = Driver::start(Personality::Standard).await.unwrap();

    let response = driver
        .http
        .post(driver.url("/token"))
        .json(&[("grant_type", "refresh_token")])
        .send()
        .await
        .unwrap();

    assert_eq!(response.status(), 400);
}
