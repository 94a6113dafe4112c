use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, anyhow};
use mailmesh_runtime::{Lifecycle, OpsServer, OpsSettings};
use prometheus::{IntCounter, Registry};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

fn any_port() -> OpsSettings {
    OpsSettings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
    }
}

/// The status and the body of a GET.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: ops\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let status = answer.split(' ').nth(1).context("status")?.parse()?;
    let body = answer.split_once("\r\n\r\n").context("body")?.1.to_owned();
    Ok((status, body))
}

#[tokio::test]
async fn ready_says_what_is_not_ready_and_why() -> Result<()> {
    let lifecycle = Lifecycle::new("mesh");
    let server = OpsServer::bind(&any_port(), &lifecycle, Registry::new()).await?;
    let (address, started) = (server.address(), server.started());
    let mut tasks = JoinSet::new();
    tasks.spawn(server.serve());
    let is_up = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&is_up);
    lifecycle.checks().register("nats", move || {
        let is_up = seen.load(Ordering::SeqCst);
        async move {
            if is_up {
                Ok(())
            } else {
                Err(anyhow!("refused").context("not connected"))
            }
        }
    });

    let (status, body) = get(address, "/ready").await?;
    assert_eq!(status, 503);
    assert!(
        body.contains("is starting") && body.contains("not connected: refused"),
        "{body}"
    );

    is_up.store(true, Ordering::SeqCst);
    started.cancel();
    let (status, body) = get(address, "/ready").await?;
    assert_eq!(
        (status, body.as_str()),
        (200, "{\"ready\":true,\"failing\":{}}")
    );

    lifecycle.stop();
    let (status, body) = get(address, "/ready").await?;
    assert_eq!(status, 503);
    assert!(body.contains("is stopping"), "{body}");
    assert_eq!(get(address, "/live").await?.0, 200);
    Ok(())
}

#[tokio::test]
async fn check_that_hangs_has_failed() -> Result<()> {
    let lifecycle = Lifecycle::new("mesh");
    lifecycle.checks().register("stuck", std::future::pending);
    lifecycle.checks().register("fine", async || Ok(()));

    let failing = lifecycle.checks().failing().await;

    let reasons: Vec<(String, String)> = failing.into_iter().collect();
    assert_eq!(
        reasons,
        [("stuck".to_owned(), "no answer in 3 s".to_owned())]
    );
    Ok(())
}

#[tokio::test]
async fn metrics_are_prometheus_text() -> Result<()> {
    let registry = Registry::new();
    let counter = IntCounter::new("mailmesh_mails_total", "Mails")?;
    registry.register(Box::new(counter.clone()))?;
    counter.inc_by(3);
    let lifecycle = Lifecycle::new("mesh");
    let server = OpsServer::bind(&any_port(), &lifecycle, registry).await?;
    let address = server.address();
    let mut tasks = JoinSet::new();
    tasks.spawn(server.serve());

    let (status, body) = get(address, "/metrics").await?;

    assert_eq!(status, 200);
    assert!(body.contains("mailmesh_mails_total 3"), "{body}");
    Ok(())
}

#[tokio::test]
async fn taken_port_names_the_address_and_the_setting() -> Result<()> {
    let lifecycle = Lifecycle::new("mesh");
    let first = OpsServer::bind(&any_port(), &lifecycle, Registry::new()).await?;
    let same = OpsSettings {
        listen: first.address(),
    };

    let refused = OpsServer::bind(&same, &lifecycle, Registry::new()).await;

    let text = refused.err().context("the port is taken")?.to_string();
    assert!(text.contains(&first.address().to_string()), "{text}");
    assert!(text.contains("MAILMESH_OPS__LISTEN"), "{text}");
    Ok(())
}
