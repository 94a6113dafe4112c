use anyhow::{Context, Result};
use mailmesh_domain::Protocol;
use mailmesh_sandbox::{Fault, FaultRule, LastPage, Visitor};

use crate::world::{ALICE, BOB, World};

async fn with_page() -> Result<World> {
    World::with(|provider| provider.auto_consent = false, |_, _| {}).await
}

/// Signs in with a fault at the provider; nothing may be stored.
async fn refused(point: &str, fault: Fault) -> Result<LastPage> {
    refused_by([(point, fault)]).await
}

async fn refused_by<const N: usize>(faults: [(&str, Fault); N]) -> Result<LastPage> {
    let world = World::new().await?;
    let account = world.account("support", Protocol::Imap).await?;
    let link = world.link(&account).await?;
    for (point, fault) in faults {
        world.sandbox.faults().add(FaultRule {
            count: None,
            ..FaultRule::once(point, fault)
        })?;
    }

    let page = Visitor::try_new(None)?.sign_in(&link, ALICE, true).await?;

    anyhow::ensure!(
        world.grant_of(&account).await?.is_none(),
        "a grant was stored"
    );
    world
        .base
        .published("account.authenticated.support", 0)
        .await?;
    world.finish().await?;
    Ok(page)
}

fn tokens(scope: &str, refresh_token: Option<&str>) -> Fault {
    let refresh = refresh_token.map_or(String::new(), |token| {
        format!(r#","refresh_token":"{token}""#)
    });
    Fault::Reply {
        text: format!(
            r#"{{"access_token":"at","token_type":"Bearer","expires_in":3600,"scope":"{scope}"{refresh}}}"#
        ),
    }
}

#[tokio::test]
async fn a_person_who_declines_changes_nothing() -> Result<()> {
    let world = with_page().await?;
    let account = world.account("support", Protocol::Imap).await?;
    let link = world.link(&account).await?;

    let page = Visitor::try_new(None)?.sign_in(&link, ALICE, false).await?;

    assert_eq!(page.status, 403);
    assert!(page.url.contains("/connected/"), "{}", page.url);
    assert!(page.html.contains("access_denied"), "{}", page.html);
    assert!(
        page.html.contains("You, who own the mailbox"),
        "{}",
        page.html
    );
    assert!(world.grant_of(&account).await?.is_none());
    world.finish().await
}

#[tokio::test]
async fn what_a_page_advises_leads_on() -> Result<()> {
    let world = with_page().await?;
    let account = world.account("support", Protocol::Imap).await?;
    let link = world.link(&account).await?;
    let mut browser = Visitor::try_new(None)?;

    let declined = browser.sign_in(&link, ALICE, false).await?;
    let old = browser.get(&link).await?;
    let new = world.link(&account).await?;
    let connected = browser.sign_in(&new, ALICE, true).await?;

    assert!(
        declined.html.contains("ask for a new link"),
        "{}",
        declined.html
    );
    assert_eq!(old.status(), 410);
    assert!(
        connected.html.contains("is connected"),
        "{}",
        connected.html
    );
    world.finish().await
}

#[tokio::test]
async fn another_mailbox_is_refused_and_both_are_named() -> Result<()> {
    let world = with_page().await?;
    let account = world.account("support", Protocol::Imap).await?;
    let link = world.link(&account).await?;

    let page = Visitor::try_new(None)?.sign_in(&link, BOB, true).await?;

    assert_eq!(page.status, 403);
    assert!(page.html.contains(&account.login), "{}", page.html);
    assert!(page.html.contains(BOB), "{}", page.html);
    assert!(world.grant_of(&account).await?.is_none());
    world.finish().await
}

#[tokio::test]
async fn an_answer_of_another_issuer_is_refused_before_its_code_is_used() -> Result<()> {
    let text = "code=c&state={state}&iss=https%3A%2F%2Fevil.example".to_owned();
    let page = refused("oauth.redirect", Fault::Reply { text }).await?;
    assert_eq!(page.status, 403);
    assert!(page.html.contains("another issuer"), "{}", page.html);

    let text = "code=c&state={state}".to_owned();
    let page = refused("oauth.redirect", Fault::Reply { text }).await?;
    assert!(
        page.html.contains("another issuer"),
        "promised, not sent: {}",
        page.html
    );
    Ok(())
}

#[tokio::test]
async fn a_scope_that_was_not_granted_is_named() -> Result<()> {
    let page = refused("oauth.token.code", tokens("openid email", Some("rt"))).await?;

    assert_eq!(page.status, 403);
    assert!(page.html.contains("<dd>mail</dd>"), "{}", page.html);
    Ok(())
}

#[tokio::test]
async fn a_forged_identity_is_refused() -> Result<()> {
    for claims in [
        r#"{"nonce":"another"}"#,
        r#"{"aud":"another"}"#,
        r#"{"iss":"https://evil.example"}"#,
        r#"{"exp":1}"#,
    ] {
        let text = claims.to_owned();
        let page = refused("oauth.id_token", Fault::Reply { text }).await?;
        assert_ne!(page.status, 200, "{claims}: {}", page.html);
    }
    Ok(())
}

#[tokio::test]
async fn a_person_whose_mailbox_is_not_told_is_refused() -> Result<()> {
    for claims in [
        r#"{"email":null,"preferred_username":null}"#,
        r#"{"email_verified":false,"preferred_username":"alice"}"#,
    ] {
        let text = claims.to_owned();
        let silent = Fault::Status {
            code: 403,
            retry_after: None,
            body: None,
        };
        let faults = [
            ("oauth.id_token", Fault::Reply { text }),
            ("oauth.userinfo", silent),
        ];
        let page = refused_by(faults).await?;

        assert_eq!(page.status, 502, "{claims}: {}", page.html);
        let claims = "email, preferred_username, upn";
        assert!(page.html.contains(claims), "{}", page.html);
    }
    let page = refused("oauth.token.code", tokens("openid email mail", Some("rt"))).await?;
    assert_ne!(page.status, 200, "{}", page.html);
    Ok(())
}

#[tokio::test]
async fn a_provider_in_trouble_is_told_as_such() -> Result<()> {
    let overloaded = Fault::Status {
        code: 503,
        retry_after: None,
        body: None,
    };
    for (point, fault) in [
        ("oauth.discovery", overloaded.clone()),
        ("oauth.token.code", overloaded.clone()),
        ("oauth.token.code", Fault::Cut),
        ("oauth.jwks", overloaded),
    ] {
        let page = refused(point, fault.clone()).await?;
        assert_eq!(page.status, 503, "{point} {fault:?}: {}", page.html);
        assert!(page.html.contains("in a few minutes"), "{}", page.html);
    }
    Ok(())
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_the_administrators_to_look_at() -> Result<()> {
    for text in [
        "<html>Welcome</html>",
        "{}",
        r#"{"access_token":"at","token_type":"mac"}"#,
        r#"{"error":{"code":4711}}"#,
    ] {
        let text = text.to_owned();
        let page = refused("oauth.token.code", Fault::Reply { text }).await?;
        assert_eq!(page.status, 502, "{}", page.html);
        assert!(
            page.html.contains("The administrator of mailmesh"),
            "{}",
            page.html
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_issuer_is_the_administrators_to_correct() -> Result<()> {
    let absent = Fault::Status {
        code: 404,
        retry_after: None,
        body: None,
    };
    let page = refused("oauth.discovery", absent).await?;

    assert!(page.html.contains("Correct the issuer"), "{}", page.html);
    assert!(!page.html.contains("in a few minutes"), "{}", page.html);
    Ok(())
}

#[tokio::test]
async fn what_a_provider_says_cannot_script_the_page() -> Result<()> {
    let text =
        "error=server_error&error_description=%3Cscript%3Ealert(1)%3C%2Fscript%3E&state={state}";
    let issuer = "&iss=";
    let world = World::new().await?;
    let account = world.account("support", Protocol::Imap).await?;
    let link = world.link(&account).await?;
    let issuer = format!("{issuer}{}", world.sandbox.addresses().issuer);
    world.sandbox.faults().add(FaultRule::once(
        "oauth.redirect",
        Fault::Reply {
            text: format!("{text}{issuer}"),
        },
    ))?;

    let page = Visitor::try_new(None)?.sign_in(&link, ALICE, true).await?;

    assert!(page.html.contains("server_error"), "{}", page.html);
    assert!(page.html.contains("alert(1)"), "{}", page.html);
    assert!(!page.html.contains("<script"), "{}", page.html);
    world.finish().await
}

#[tokio::test]
async fn a_wrong_client_secret_names_the_administrator() -> Result<()> {
    let world = World::new().await?;
    let account = world.account("support", Protocol::Imap).await?;
    let link = world.link(&account).await?;
    let client = mailmesh_sandbox::ClientSettings {
        client_id: crate::world::CLIENT_ID.to_owned(),
        client_secret: "another".to_owned(),
        redirect_uris: vec![format!("{}receiveTokenAuthentication.htm", world.url)],
    };
    world.sandbox.register_client(client)?;

    let page = Visitor::try_new(None)?.sign_in(&link, ALICE, true).await?;

    assert!(page.html.contains("invalid_client"), "{}", page.html);
    assert!(
        page.html.contains("The administrator of mailmesh"),
        "{}",
        page.html
    );
    world.finish().await
}

#[tokio::test]
async fn a_mail_server_that_refuses_leaves_the_grant_and_is_quoted() -> Result<()> {
    let world = World::new().await?;
    let account = world.account("support", Protocol::Imap).await?;
    let link = world.link(&account).await?;
    world.sandbox.faults().add(FaultRule::once(
        "imap.authenticate",
        Fault::Reply {
            text: "{tag} NO [AUTHENTICATIONFAILED] IMAP is off for this mailbox".to_owned(),
        },
    ))?;

    let page = Visitor::try_new(None)?.sign_in(&link, ALICE, true).await?;

    assert_eq!(page.status, 200);
    assert!(
        page.html.contains("does not let us in yet"),
        "{}",
        page.html
    );
    assert!(
        page.html.contains("IMAP is off for this mailbox"),
        "{}",
        page.html
    );
    assert!(
        page.html.contains("The administrator of mailmesh") && page.html.contains("scopes"),
        "another sign-in would bring the same: {}",
        page.html
    );
    world.grant_of(&account).await?.context("no grant")?;
    world
        .base
        .published("account.authenticated.support", 1)
        .await?;
    world.finish().await
}
