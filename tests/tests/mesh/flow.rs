//! Mailboxes connected by each flow, from the API to mail that comes and goes.

use mailmesh_sandbox::{ApplicationSettings, ClientSettings, Personality, Settings};
use mailmesh_tests::{Leftovers, World, WorldSettings};
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256};
use serde_json::{Value, json};

use crate::sample::mail;

const GMAIL: &str = "https://mail.google.com/";

async fn start(personality: Personality) -> anyhow::Result<World> {
    let sandbox = Settings {
        personality,
        ..Settings::default()
    };
    World::start(WorldSettings {
        sandbox,
        ..WorldSettings::default()
    })
    .await
}

fn keys() -> anyhow::Result<(KeyPair, String)> {
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256)?;
    let certificate = CertificateParams::new(vec!["mesh.test".to_owned()])?.self_signed(&key)?;
    Ok((key, certificate.pem()))
}

/// Returns a line from within the key.
fn secret_line(key: &KeyPair) -> String {
    let pem = key.serialize_pem();
    pem.lines().nth(5).unwrap_or_default().to_owned()
}

fn may(world: &World, client_id: &str, public_key: &str, scopes: &[&str]) {
    world.sandbox.register_application(ApplicationSettings {
        client_id: client_id.to_owned(),
        public_key: public_key.to_owned(),
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        mailboxes: Vec::new(),
    });
}

/// Registers a client configuration `app` and a mailbox with an account of each direction.
async fn connect(world: &mut World, client: &Value, address: &str) -> anyhow::Result<()> {
    world
        .sandbox
        .mail()
        .create(address, "no password of ours")?;
    world.api.post("/v1/client-configurations", client).await?;
    let mail = world.sandbox.addresses().mail;
    let (imap, smtp) = (mail.imap_tls.port(), mail.smtp_tls.port());
    for (key, protocol, port) in [("in", "imap", imap), ("out", "smtp", smtp)] {
        let account = json!({
            "key": key, "protocol": protocol, "host": "localhost", "port": port,
            "encryption": "tls", "login": address, "client_configuration": "app",
            "ca_pem": world.sandbox.ca_pem(),
        });
        world.api.post("/v1/accounts", &account).await?;
    }
    Ok(())
}

/// Mail comes and goes, and goes on after the token has ended; `holder` is whom the sandbox gave it to.
async fn exchange(world: &mut World, address: &str, holder: &str) -> anyhow::Result<()> {
    world.active("in").await?;
    let deliver = |world: &World, subject: &str| {
        let raw = mail(address, subject, "x");
        world
            .sandbox
            .mail()
            .deliver(address, raw.into())
            .map(|_| ())
    };
    deliver(world, "first")?;
    world.events.wait("mail.received", Some("in"), 1).await?;
    let command = json!({"account": "out", "to": "a@example.com", "subject": "s", "text": "t"});
    world.publish("mail.send", &command).await?;
    world.events.wait("mail.sent", Some("out"), 1).await?;

    anyhow::ensure!(world.sandbox.tokens().expire_access(holder) > 0, "no token");
    world.sandbox.mail().expire_sessions(address)?;
    deliver(world, "second")?;
    world.publish("mail.send", &command).await?;

    world.events.wait("mail.received", Some("in"), 2).await?;
    world.events.wait("mail.sent", Some("out"), 2).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_account_opens_mailboxes_of_its_tenant() {
    let mut world = start(Personality::Google).await.unwrap();
    let (key, _) = keys().unwrap();
    let address = "support@sandbox.test";
    may(
        &world,
        "robot@project.test",
        &key.public_key_pem(),
        &[GMAIL],
    );
    let file = json!({
        "type": "service_account", "client_email": "robot@project.test", "client_id": "1045",
        "private_key_id": "k1", "private_key": key.serialize_pem(),
    });
    let client = json!({
        "key": "app", "profile": "google_service_account", "private_key": file.to_string(),
        "token_url": format!("{}/token", world.sandbox.addresses().issuer),
    });
    world.plant("key of the service account", &secret_line(&key));

    connect(&mut world, &client, address).await.unwrap();
    exchange(&mut world, address, address).await.unwrap();

    let counters = world.sandbox.oauth_counters();
    assert_eq!(counters.mailboxes[address].app_tokens, 2);
    let asked = world
        .events
        .named("account.sign_in_required", None)
        .await
        .unwrap();
    assert_eq!(asked.len(), 0);
    world.finish(Leftovers::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_with_a_certificate_opens_mailboxes_in_its_own_name() {
    let mut world = start(Personality::Microsoft).await.unwrap();
    let (key, certificate) = keys().unwrap();
    let address = "support@sandbox.test";
    may(
        &world,
        "app-id",
        &certificate,
        &["IMAP.AccessAsApp", "SMTP.SendAsApp"],
    );
    world
        .sandbox
        .register_client(ClientSettings {
            client_id: "app-id".to_owned(),
            client_secret: String::new(),
            redirect_uris: Vec::new(),
        })
        .unwrap();
    let client = json!({
        "key": "app", "profile": "microsoft_app_only", "client_id": "app-id",
        "private_key": key.serialize_pem(), "certificate_pem": certificate,
        "base_url": format!("{}/contoso/", world.sandbox.addresses().issuer),
    });
    world.plant("private key of the client", &secret_line(&key));

    connect(&mut world, &client, address).await.unwrap();
    exchange(&mut world, address, "app-id").await.unwrap();

    let counters = world.sandbox.oauth_counters();
    assert_eq!(counters.mailboxes["app-id"].app_tokens, 2);
    world.finish(Leftovers::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_signs_in_with_a_client_that_proves_itself_by_its_key() {
    let mut world = start(Personality::Standard).await.unwrap();
    let (key, _) = keys().unwrap();
    let address = "support@sandbox.test";
    may(&world, "signs", &key.public_key_pem(), &[]);
    let client = json!({
        "key": "app", "profile": "custom", "issuer": world.sandbox.addresses().issuer,
        "client_id": "signs", "private_key": key.serialize_pem(),
        "scopes": ["openid", "email", "offline_access"],
    });
    connect(&mut world, &client, address).await.unwrap();
    let made = world
        .api
        .get("/v1/client-configurations/app")
        .await
        .unwrap();
    world
        .sandbox
        .register_client(ClientSettings {
            client_id: "signs".to_owned(),
            client_secret: String::new(),
            redirect_uris: vec![made["redirect_uri"].as_str().unwrap().to_owned()],
        })
        .unwrap();

    world.sign_in("in", address).await.unwrap();
    exchange(&mut world, address, address).await.unwrap();

    let counts = world.sandbox.oauth_counters().mailboxes[address];
    assert_eq!(
        (counts.code_exchanges, counts.refreshes, counts.app_tokens),
        (1, 1, 0)
    );
    world.finish(Leftovers::default()).await.unwrap();
}
