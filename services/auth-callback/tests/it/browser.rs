use std::time::Duration;

use anyhow::{Context, Result};
use mailmesh_domain::Protocol;
use mailmesh_sandbox::{Fault, FaultRule, Visitor};
use mailmesh_testkit::eventually;
use reqwest::StatusCode;
use reqwest::header::{COOKIE, SET_COOKIE};

use crate::world::{ALICE, World, location};

#[tokio::test]
async fn an_answer_works_once() -> Result<()> {
    let world = World::new().await?;
    let account = world.account("support", Protocol::Imap).await?;
    let link = world.link(&account).await?;
    let mut browser = Visitor::try_new(None)?;
    let callback = world.answer(&mut browser, &link).await?;

    let first = browser.get(&callback).await?;
    let second = browser.get(&callback).await?;

    assert_eq!(first.status(), StatusCode::SEE_OTHER);
    let clean = location(&first, &callback)?;
    assert_eq!(clean.query(), None);
    assert_eq!(second.status(), StatusCode::BAD_REQUEST);
    assert!(second.text().await?.contains("used already"));
    let grant = world.grant_of(&account).await?.context("no grant")?;
    assert_eq!(grant.generation, 1);
    world
        .base
        .published("account.authenticated.support", 1)
        .await?;
    world.finish().await
}

#[tokio::test]
async fn forged_and_late_answers_are_refused() -> Result<()> {
    let world = World::new().await?;
    let account = world.account("support", Protocol::Imap).await?;
    let link = world.link(&account).await?;
    let mut browser = Visitor::try_new(None)?;
    let callback = world.answer(&mut browser, &link).await?;
    let mut forged = callback.clone();
    forged.set_query(Some("code=stolen&state=guessed"));

    let forged = browser.get(&forged).await?;
    world.clock.advance(Duration::from_mins(16));
    let late = browser.get(&callback).await?;

    assert_eq!(forged.status(), StatusCode::BAD_REQUEST);
    assert_eq!(late.status(), StatusCode::BAD_REQUEST);
    assert!(world.grant_of(&account).await?.is_none());
    assert_eq!(world.sandbox.oauth_counters().token_requests, 0);
    // The link outlives the state, so that a mail scanner that opens it does no harm.
    let again = browser.sign_in(&link, ALICE, true).await?;
    assert!(again.html.contains("is connected"), "{}", again.html);
    world.finish().await
}

#[tokio::test]
async fn another_browser_cannot_end_a_sign_in() -> Result<()> {
    let world = World::new().await?;
    let account = world.account("support", Protocol::Imap).await?;
    let link = world.link(&account).await?;
    let mut browser = Visitor::try_new(None)?;
    let callback = world.answer(&mut browser, &link).await?;
    let other = world.link(&account).await?;
    let mut other_browser = Visitor::try_new(None)?;
    world.answer(&mut other_browser, &other).await?;

    let without_cookie = Visitor::try_new(None)?.get(&callback).await?;
    let consumed = browser.get(&callback).await?;
    let callback = world
        .answer(&mut browser, &world.link(&account).await?)
        .await?;
    let with_another = other_browser.get(&callback).await?;

    for answer in [without_cookie, with_another] {
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        assert!(answer.text().await?.contains("another browser"));
    }
    assert_eq!(consumed.status(), StatusCode::BAD_REQUEST);
    assert!(world.grant_of(&account).await?.is_none());
    assert_eq!(world.sandbox.oauth_counters().token_requests, 0);
    world.finish().await
}

#[tokio::test]
async fn two_windows_of_one_browser_do_not_void_each_other() -> Result<()> {
    let world = World::new().await?;
    let first = world.account("one", Protocol::Imap).await?;
    let second = world.account("two", Protocol::Smtp).await?;
    let mut browser = Visitor::try_new(None)?;
    let links = [world.link(&first).await?, world.link(&second).await?];
    let one = world.answer(&mut browser, &links[0]).await?;
    let two = world.answer(&mut browser, &links[1]).await?;

    for callback in [two, one] {
        let answer = browser.get(&callback).await?;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        let page = browser.get(&location(&answer, &callback)?).await?;
        assert!(page.text().await?.contains("is connected"));
    }
    world.finish().await
}

#[tokio::test]
async fn a_link_that_is_unknown_or_used_says_so() -> Result<()> {
    let world = World::new().await?;
    let account = world.account("support", Protocol::Imap).await?;
    let link = world.link(&account).await?;
    let mut browser = Visitor::try_new(None)?;
    browser.sign_in(&link, ALICE, true).await?;
    let ended = world.link(&account).await?;
    world.clock.advance(Duration::from_hours(25));

    let used = browser.get(&link).await?;
    let late = browser.get(&ended).await?;
    let unknown = browser.get(&world.url.join("/connect/nothing")?).await?;

    assert_eq!(used.status(), StatusCode::GONE);
    let used = used.text().await?;
    assert!(used.contains("The mailbox is connected"), "{used}");
    assert_eq!(late.status(), StatusCode::GONE);
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
    let page = unknown.text().await?;
    assert!(page.contains("The administrator of mailmesh"), "{page}");
    world.finish().await
}

#[tokio::test]
async fn a_posted_answer_is_taken_too_at_either_path() -> Result<()> {
    for path in ["/oauth/callback", "/receiveTokenAuthentication.htm"] {
        let world = World::new().await?;
        let account = world.account("support", Protocol::Imap).await?;
        let link = world.link(&account).await?;
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let started = http.get(link.clone()).send().await?;
        let cookie = started.headers().get(SET_COOKIE).context("no cookie")?;
        let cookie = cookie.to_str()?.to_owned();
        let authorize = location(&started, &link)?;
        let callback = location(&http.get(authorize.clone()).send().await?, &authorize)?;
        let form: Vec<(String, String)> = callback.query_pairs().into_owned().collect();

        let answer = http
            .post(world.url.join(path)?)
            .header(COOKIE, cookie.split(';').next().unwrap_or_default())
            .form(&form)
            .send()
            .await?;

        assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{path}");
        assert!(world.grant_of(&account).await?.is_some());
        world.finish().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_browser_that_goes_away_costs_no_tokens() -> Result<()> {
    let world = World::new().await?;
    let account = world.account("support", Protocol::Imap).await?;
    let link = world.link(&account).await?;
    let mut browser = Visitor::try_new(None)?;
    let callback = world.answer(&mut browser, &link).await?;
    world.sandbox.faults().add(FaultRule::once(
        "oauth.after_token",
        Fault::Stall { seconds: None },
    ))?;

    {
        let going = browser.get(&callback);
        tokio::pin!(going);
        let exchanged = eventually("the code is exchanged", async || {
            world.sandbox.oauth_counters().total.code_exchanges == 1
        });
        tokio::select! {
            _ = &mut going => anyhow::bail!("the answer came too early"),
            exchanged = exchanged => exchanged?,
        }
    }
    drop(browser);
    world.sandbox.faults().clear();

    eventually("the grant is stored", async || {
        world.grant_of(&account).await?.context("no grant")
    })
    .await?;
    world.finish().await
}

#[tokio::test]
async fn what_looks_before_it_asks_starts_and_ends_nothing() -> Result<()> {
    let world = World::new().await?;
    let account = world.account("support", Protocol::Imap).await?;
    let link = world.link(&account).await?;
    let mut browser = Visitor::try_new(None)?;
    let callback = world.answer(&mut browser, &link).await?;
    let http = reqwest::Client::builder().build()?;

    for url in [&link, &callback] {
        let answer = http.head(url.clone()).send().await?;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    }
    let answer = browser.get(&callback).await?;

    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert!(world.grant_of(&account).await?.is_some());
    world.finish().await
}
