use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use mailmesh_bus::{Bus, BusCredentials, BusError, BusSettings};

use crate::world::{bus_with, outgoing, settings, start_with};

fn scratch(name: &str, text: &str) -> Result<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bus-access");
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{}-{name}", std::process::id()));
    std::fs::write(&path, text)?;
    Ok(path)
}

#[tokio::test]
async fn password_from_a_file_signs_in_and_a_wrong_one_fails_at_once() -> Result<()> {
    let config = "authorization { user: \"mesh\", password: \"right\" }\n";
    let server = start_with("password", config).await?;
    let with = |password_file: PathBuf| BusSettings {
        credentials: Some(BusCredentials::UserPassword {
            user: "mesh".to_owned(),
            password_file,
        }),
        ..settings(&server.url())
    };

    bus_with(&with(scratch("right", "right\n")?)).await?;
    let started = Instant::now();
    let refused = Bus::connect(&with(scratch("wrong", "wrong")?)).await;
    let absent = Bus::connect(&with("/nonexistent/password".into())).await;

    assert!(
        matches!(refused, Err(BusError::SignIn { .. })),
        "{refused:?}"
    );
    assert!(matches!(absent, Err(BusError::Settings(_))), "{absent:?}");
    assert!(started.elapsed() < Duration::from_secs(5));
    assert!(!format!("{refused:?}").contains("wrong\""), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn user_and_password_in_the_address_sign_in() -> Result<()> {
    let config = "authorization { user: \"mesh\", password: \"ri/ght\" }\n";
    let server = start_with("address", config).await?;
    let address = |password: &str| format!("nats://mesh:{password}@127.0.0.1:{}", server.port());

    bus_with(&settings(&address("ri%2Fght"))).await?;
    let refused = Bus::connect(&settings(&address("wrong"))).await;

    assert!(
        matches!(refused, Err(BusError::SignIn { .. })),
        "{refused:?}"
    );
    assert!(!format!("{refused:?}").contains("wrong"), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn token_from_a_file_signs_in() -> Result<()> {
    let server = start_with("token", "authorization { token: \"t0k3n\" }\n").await?;
    let settings = BusSettings {
        credentials: Some(BusCredentials::TokenFile(scratch("token", "t0k3n\n")?)),
        ..settings(&server.url())
    };

    let bus = bus_with(&settings).await?;

    bus.publish(outgoing("mail.received.a", "1", b"x")).await?;
    Ok(())
}

#[tokio::test]
async fn private_authority_is_trusted_when_it_is_named_and_only_then() -> Result<()> {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    let certificate = scratch("certificate.pem", &made.cert.pem())?;
    let key = scratch("key.pem", &made.signing_key.serialize_pem())?;
    let config = format!(
        "tls {{ cert_file: \"{}\", key_file: \"{}\" }}\n",
        certificate.display(),
        key.display()
    );
    let server = start_with("tls", &config).await?;
    let mut settings = settings(&server.url());
    settings.connect_wait_seconds = 2;

    let stranger = Bus::connect(&settings).await;
    settings.tls_ca_file = Some(certificate);
    let bus = bus_with(&settings).await?;

    assert!(stranger.is_err(), "{stranger:?}");
    bus.publish(outgoing("mail.received.a", "1", b"x")).await?;
    Ok(())
}
