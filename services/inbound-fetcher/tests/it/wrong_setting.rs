//! Settings that keep an account from being watched: each is told to the administrator, in a text that names it.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use mailmesh_domain::{MustAct, Protocol};
use mailmesh_events::account::AccountFailing;
use mailmesh_store::account::Account;
use mailmesh_testkit::MailHost;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::world::{World, over_each_protocol};

over_each_protocol! {
    each_wrong_setting_is_told_to_the_administrator_by_its_name,
}

/// Listens without TLS.
async fn plain_server(protocol: Protocol) -> Result<(u16, JoinSet<()>)> {
    let greeting = match protocol {
        Protocol::Pop3 => "+OK ready\r\n",
        _ => "* OK IMAP4rev1 ready\r\n",
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            if stream.write_all(greeting.as_bytes()).await.is_ok() {
                open.push(stream);
            }
        }
    });
    Ok((port, serving))
}

/// Returns a port at which nothing listens.
async fn closed_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port())
}

fn at(port: u16) -> impl FnOnce(&mut Account) {
    move |account| {
        if let Some(server) = &mut account.server {
            server.port = port;
        }
    }
}

async fn each_wrong_setting_is_told_to_the_administrator_by_its_name(
    protocol: Protocol,
) -> Result<()> {
    let world = World::over(protocol).await?;
    let other = MailHost::from(&world.sandbox).smtp_port;
    let (plain, serving) = plain_server(protocol).await?;
    world.account("closed", at(closed_port().await?)).await?;
    world.account("plain", at(plain)).await?;
    world.account("other", at(other)).await?;
    world
        .account("login", |account| account.login.push('x'))
        .await?;
    let no_folder = |account: &mut Account| account.folders = vec!["Nowhere".to_owned()];
    world.account("folder", no_folder).await?;
    let replica = world.start().await?;

    let mut actions = BTreeMap::new();
    for (key, words) in [
        ("closed", "Check host and port"),
        ("plain", "encryption"),
        ("other", "protocol or port"),
        ("login", "password"),
        ("folder", "folder"),
    ] {
        let failing: AccountFailing = world.base.first_event(key).await.context(key)?;
        let problem = failing.problem;
        assert_eq!(problem.must_act, MustAct::Administrator, "{problem:?}");
        assert_eq!(problem.also_must_act, None, "{problem:?}");
        assert!(problem.action.contains(words), "{problem:?}");
        assert!(failing.is_unproved, "{key}");
        actions.insert(problem.action, key);
    }

    assert_eq!(actions.len(), 5, "{actions:?}");
    drop(serving);
    world.finish(replica).await
}
