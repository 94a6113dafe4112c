use anyhow::{Context, Result};
use mailmesh_domain::Protocol;
use mailmesh_sandbox::Visitor;
use reqwest::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, SET_COOKIE};
use reqwest::{Response, StatusCode};

use crate::world::{ALICE, World, location};

fn assert_protected(answer: &Response) -> Result<()> {
    let header = |name| -> Result<&str> {
        let value = answer.headers().get(&name);
        Ok(value.with_context(|| format!("no {name}"))?.to_str()?)
    };
    anyhow::ensure!(header(REFERRER_POLICY)? == "no-referrer");
    anyhow::ensure!(header(CACHE_CONTROL)? == "no-store");
    let policy = header(CONTENT_SECURITY_POLICY)?;
    anyhow::ensure!(policy.starts_with("default-src 'none'; style-src 'sha256-"));
    Ok(())
}

#[tokio::test]
async fn every_answer_keeps_to_itself() -> Result<()> {
    let world = World::new().await?;
    let account = world.account("support", Protocol::Imap).await?;
    let link = world.link(&account).await?;
    let mut browser = Visitor::try_new(None)?;

    let started = browser.get(&link).await?;
    let cookie = started.headers().get(SET_COOKIE).context("no cookie")?;
    let cookie = cookie.to_str()?.to_owned();
    let authorize = location(&started, &link)?;
    let callback = location(&browser.get(&authorize).await?, &authorize)?;
    let ended = browser.get(&callback).await?;
    let shown = browser.get(&location(&ended, &callback)?).await?;
    let nothing = browser.get(&world.url.join("/")?).await?;

    assert!(
        cookie
            .ends_with("Path=/receiveTokenAuthentication.htm; Max-Age=900; HttpOnly; SameSite=Lax"),
        "{cookie}"
    );
    assert_eq!(started.status(), StatusCode::SEE_OTHER);
    assert_eq!(nothing.status(), StatusCode::NOT_FOUND);
    for answer in [&started, &ended, &shown, &nothing] {
        assert_protected(answer)?;
    }
    world.finish().await
}

#[tokio::test]
async fn the_authorise_url_holds_what_protects_the_sign_in() -> Result<()> {
    let world = World::new().await?;
    let account = world.account("support", Protocol::Imap).await?;
    let link = world.link(&account).await?;
    let mut browser = Visitor::try_new(None)?;

    let authorize = location(&browser.get(&link).await?, &link)?;

    let fields: std::collections::HashMap<_, _> = authorize.query_pairs().into_owned().collect();
    assert_eq!(fields["response_type"], "code");
    assert_eq!(fields["code_challenge_method"], "S256");
    assert_eq!(fields["code_challenge"].len(), 43);
    assert_eq!(fields["state"].len(), 43);
    assert!(fields["nonce"].len() >= 22);
    assert_eq!(fields["login_hint"], account.login);
    world.finish().await
}

#[tokio::test]
async fn a_result_is_shown_to_its_browser_alone() -> Result<()> {
    let world = World::new().await?;
    let account = world.account("support", Protocol::Imap).await?;
    let link = world.link(&account).await?;
    let mut browser = Visitor::try_new(None)?;
    let callback = world.answer(&mut browser, &link).await?;
    let clean = location(&browser.get(&callback).await?, &callback)?;

    let own = browser.get(&clean).await?.text().await?;
    let again = browser.get(&clean).await?.text().await?;
    let stranger = Visitor::try_new(None)?.get(&clean).await?.text().await?;

    assert!(own.contains(&account.login), "{own}");
    assert_eq!(own, again, "it can be loaded again");
    assert!(!stranger.contains(&account.login), "{stranger}");
    world.finish().await
}

#[tokio::test]
async fn a_public_url_with_a_path_is_served_below_it() -> Result<()> {
    let world = World::at("/mesh/sign-in").await?;
    let account = world.account("support", Protocol::Imap).await?;
    let link = world.link(&account).await?;

    let page = Visitor::try_new(None)?.sign_in(&link, ALICE, true).await?;

    assert!(
        page.url.contains("/mesh/sign-in/connected/"),
        "{}",
        page.url
    );
    assert!(page.html.contains("is connected"), "{}", page.html);
    world.finish().await
}
