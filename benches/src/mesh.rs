//! Accounts and services as the mesh has them, without the pages that lead there.

use std::sync::Arc;

use mailmesh_domain::{
    AccountId, AfterReceive, Authorisation, ClientConfigurationId, Clock, Encryption, GrantId,
    GrantState, Key, Protocol, SystemClock,
};
use mailmesh_runtime::{ExitReport, Lifecycle};
use mailmesh_secrets::SecretString;
use mailmesh_store::account::{self, Account};
use mailmesh_store::client_configuration::{self, ClientConfiguration};
use mailmesh_store::grant::{self, Grant};
use time::Duration;

use crate::world::World;

const GRACE: std::time::Duration = std::time::Duration::from_secs(20);

/// Stores the client configuration that all accounts share.
pub(crate) async fn add_client(world: &World) -> anyhow::Result<ClientConfigurationId> {
    let now = SystemClock.now();
    let id = ClientConfigurationId::generate(&SystemClock);
    let client = ClientConfiguration {
        id,
        key: Key::try_new("bench")?,
        name: "bench".to_owned(),
        profile: "custom".to_owned(),
        client_id: "bench".to_owned(),
        client_secret: None,
        token_endpoint_auth: None,
        issuer: None,
        authorize_url: None,
        token_url: None,
        userinfo_url: None,
        jwks_url: None,
        revocation_url: None,
        scopes: Vec::new(),
        identity_claim: None,
        extra_authorize_parameters: std::collections::BTreeMap::new(),
        ca_pem: None,
        is_inbound: true,
        is_outbound: true,
        refusal: None,
        created_at: now,
        updated_at: now,
    };
    let mut tx = world.connections.database.begin().await?;
    client_configuration::insert(&mut tx, &client).await?;
    tx.commit().await?;
    Ok(id)
}

/// Makes a mailbox at the provider and an account for it, signed in.
pub(crate) async fn add_account(
    world: &World,
    client: ClientConfigurationId,
    key: &str,
    protocol: Protocol,
    max_connections: u32,
) -> anyhow::Result<String> {
    let address = format!("{key}@sandbox.test");
    world.provider.create_mailbox(&address).await?;
    let token = world.provider.token(&address).await?;
    let now = SystemClock.now();
    let grant = sealed_grant(world, client, &address, token)?;
    let account = Account {
        id: AccountId::generate(&SystemClock),
        key: Key::try_new(key)?,
        name: key.to_owned(),
        is_enabled: true,
        direction: protocol.direction(),
        protocol,
        host: "localhost".to_owned(),
        port: match protocol {
            Protocol::Imap => world.provider.imap_port(),
            Protocol::Smtp => world.provider.smtp_port(),
        },
        encryption: Encryption::Tls,
        authorisation: Authorisation::OAuth2,
        login: address.clone(),
        password: None,
        client_configuration_id: Some(client),
        grant_id: Some(grant.id),
        from_addresses: vec![address.clone()],
        folders: vec!["INBOX".to_owned()],
        receive_existing: true,
        poll_interval_seconds: 300,
        after_receive: AfterReceive::Keep,
        move_to: None,
        max_connections,
        ca_pem: Some(world.provider.ca_pem().to_owned()),
        revision: 1,
        created_at: now,
        updated_at: now,
    };
    let mut tx = world.connections.database.begin().await?;
    grant::save_sign_in(&mut tx, &grant, now).await?;
    account::insert(&mut tx, &account).await?;
    tx.commit().await?;
    Ok(address)
}

fn sealed_grant(
    world: &World,
    client: ClientConfigurationId,
    address: &str,
    token: String,
) -> anyhow::Result<Grant> {
    let id = GrantId::generate(&SystemClock);
    let token = SecretString::from(token);
    let later = SystemClock.now() + Duration::days(1);
    let key = world.keys.sealing_key();
    Ok(Grant {
        id,
        client_configuration_id: client,
        subject: address.to_owned(),
        address: Some(address.to_owned()),
        scopes: Vec::new(),
        state: GrantState::Active,
        problem: None,
        access_token: key.seal(&token, &Grant::access_context(id))?,
        refresh_token: None,
        generation: 1,
        access_expires_at: later,
        refresh_due_at: later,
        refresh_expires_at: None,
        failures: 0,
    })
}

/// Starts the inbound fetcher in this process.
pub(crate) async fn start_fetcher(world: &World) -> anyhow::Result<Lifecycle> {
    let lifecycle = Lifecycle::new("bench");
    let config = mailmesh_inbound_fetcher::Config {
        settings: mailmesh_inbound_fetcher::Settings::default(),
        keys: world.keys.clone(),
    };
    mailmesh_inbound_fetcher::Service::build(config, &world.connections, Arc::new(SystemClock))
        .await?
        .start(&lifecycle);
    Ok(lifecycle)
}

/// Starts the outbound sender in this process.
pub(crate) async fn start_sender(world: &World) -> anyhow::Result<Lifecycle> {
    let lifecycle = Lifecycle::new("bench");
    mailmesh_outbound_sender::Service::build(
        mailmesh_outbound_sender::Config::default(),
        world.keys.clone(),
        &world.connections,
        Arc::new(SystemClock),
    )
    .await?
    .start(&lifecycle);
    Ok(lifecycle)
}

/// Stops what was started.
pub(crate) async fn stop(lifecycle: Lifecycle) -> ExitReport {
    lifecycle.stop();
    lifecycle.run_until_stopped(GRACE).await
}
