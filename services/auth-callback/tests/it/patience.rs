//! Whoever connects and says nothing stands in nobody's way.

use std::time::Duration;

use anyhow::{Context, Result};
use mailmesh_domain::Protocol;
use mailmesh_sandbox::Visitor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::world::{ALICE, World};

const MOST_REQUESTS: usize = 128;

async fn say(world: &World, words: &str) -> Result<TcpStream> {
    let host = world.url.host_str().context("no host")?;
    let port = world.url.port().context("no port")?;
    let mut socket = TcpStream::connect((host, port)).await?;
    socket.write_all(words.as_bytes()).await?;
    Ok(socket)
}

#[tokio::test]
async fn requests_that_never_arrive_take_no_place_and_end() -> Result<()> {
    let world = World::new().await?;
    let account = world.account("support", Protocol::Imap).await?;
    let link = world.link(&account).await?;
    let half = "POST /oauth/callback HTTP/1.1\r\nHost: mesh\r\nContent-Length: 100\r\n\r\ncode=";
    let mut sockets = Vec::new();
    for _ in 0..=MOST_REQUESTS {
        sockets.push(say(&world, half).await?);
    }

    let page = Visitor::try_new(None)?.sign_in(&link, ALICE, true).await?;
    let mut answer = [0; 64];
    let first = sockets.first_mut().context("no socket")?;
    let read = timeout(Duration::from_secs(20), first.read(&mut answer)).await??;
    let answer = String::from_utf8_lossy(answer.get(..read).unwrap_or_default()).into_owned();

    assert!(page.html.contains("is connected"), "{}", page.html);
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    world.finish().await
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() -> Result<()> {
    let world = World::new().await?;
    let large = "POST /oauth/callback HTTP/1.1\r\nHost: mesh\r\nContent-Length: 40000\r\n\r\n";
    let mut socket = say(&world, &format!("{large}{}", "x".repeat(40_000))).await?;

    let mut answer = [0; 12];
    socket.read_exact(&mut answer).await?;

    assert_eq!(&answer, b"HTTP/1.1 413");
    world.finish().await
}

#[tokio::test]
async fn requests_that_never_arrive_do_not_hold_the_stop() -> Result<()> {
    let world = World::new().await?;
    let silent = say(&world, "").await?;
    let half = say(&world, "GET /connect/x HTTP/1.1\r\nHost: me").await?;

    timeout(Duration::from_secs(10), world.finish()).await??;

    drop((silent, half));
    Ok(())
}
