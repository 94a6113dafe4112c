use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use mailmesh_domain::SystemClock;
use mailmesh_sandbox::{Personality, Sandbox, SandboxError, Settings};

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

    assert!(matches!(refused, Err(SandboxError::NotLoopback { .. })));
}
