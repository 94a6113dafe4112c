use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use mailmesh_domain::SystemClock;
use mailmesh_sandbox::{HostError, Personality, Sandbox, SandboxError, Settings};
use serde_json::Value;

use super::driver::{Driver, settings};

#[tokio::test]
async fn tokens_are_given_over_tls_with_the_sandboxes_own_authority() {
    let mut settings = settings(Personality::Standard);
    settings.https = true;
    let driver = Driver::start_with(settings).await.unwrap();
    assert!(driver.sandbox.addresses().issuer.starts_with("https://"));

    let tokens = driver.sign_in(&[]).await.unwrap();

    assert_eq!(tokens.status, 200);
    driver.sandbox.stop().await;
}

#[tokio::test]
async fn address_that_others_can_reach_is_refused() {
    let settings = Settings {
        bind: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        ..Settings::default()
    };

    let refused = Sandbox::start(settings, Arc::new(SystemClock)).await;

    assert!(matches!(
        refused,
        Err(SandboxError::Host(HostError::NotLoopback { .. }))
    ));
}

#[tokio::test]
async fn others_reach_it_by_the_name_given_once_it_is_allowed() {
    let settings = Settings {
        bind: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        reachable_by_others: true,
        host: Some("provider".to_owned()),
        https: true,
        ..settings(Personality::Standard)
    };
    let sandbox = Sandbox::start(settings, Arc::new(SystemClock))
        .await
        .unwrap();
    let addresses = sandbox.addresses().clone();
    let port = addresses.oauth.port();
    assert_eq!(addresses.issuer, format!("https://provider:{port}"));
    let authority = reqwest::Certificate::from_pem(sandbox.ca_pem().as_bytes()).unwrap();
    let other_machine = reqwest::Client::builder()
        .resolve("provider", ([127, 0, 0, 1], port).into())
        .tls_certs_merge([authority])
        .build()
        .unwrap();
    let read = async |url: String| -> Value {
        let answer = other_machine.get(url).send().await.unwrap();
        answer.json().await.unwrap()
    };

    let discovered = read(format!(
        "{}/.well-known/openid-configuration",
        addresses.issuer
    ))
    .await;
    let shown = read(addresses.control).await;

    assert_eq!(discovered["issuer"], addresses.issuer);
    assert_eq!(
        discovered["token_endpoint"],
        format!("https://provider:{port}/token")
    );
    assert_eq!(shown["host"], "provider");
    sandbox.stop().await;
}
