//! Grants that begin without a person.

use anyhow::{Context, Result};
use mailmesh_domain::{
    AccountState, ApiKeyId, ClientConfigurationId, Direction, Flow, GrantId, SystemClock,
};
use mailmesh_store::account::{self, Account};
use mailmesh_store::client_configuration::{self, ClientConfiguration};
use mailmesh_store::grant::{self, AppLogin, NewTokens};
use mailmesh_store::{RowSecret, Tx, account_status};

use crate::sample::{self, LATER, NOW};
use crate::world::World;

async fn client(tx: &mut Tx, key: &str, flow: Flow) -> Result<ClientConfigurationId> {
    let client = ClientConfiguration {
        flow,
        ..sample::client(key)?
    };
    client_configuration::insert(tx, &client).await?;
    Ok(client.id)
}

async fn mailbox(
    tx: &mut Tx,
    key: &str,
    client: ClientConfigurationId,
    change: impl FnOnce(&mut Account),
) -> Result<Account> {
    let mut account = sample::account(key, Direction::Inbound)?;
    account.authorisation = mailmesh_domain::Authorisation::OAuth2;
    account.password = RowSecret::Absent;
    account.client_configuration_id = Some(client);
    "Jo@corp.test".clone_into(&mut account.login);
    change(&mut account);
    account::insert(tx, &account).await?;
    Ok(account)
}

async fn start(tx: &mut Tx, login: &AppLogin) -> Result<Vec<String>> {
    let id = GrantId::generate(&SystemClock);
    let keys = grant::start_app_grant(tx, login, (id, &sample::sealed(7)?), NOW).await?;
    let mut keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
    keys.sort_unstable();
    Ok(keys)
}

#[tokio::test]
async fn a_mailbox_has_one_grant_for_all_its_accounts() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let app = client(&mut tx, "app", Flow::JwtBearer).await?;
    let people = client(&mut tx, "people", Flow::User).await?;
    let inbound = mailbox(&mut tx, "jo", app, |_| {}).await?;
    mailbox(&mut tx, "jo-out", app, |account| {
        "JO@corp.test".clone_into(&mut account.login);
    })
    .await?;
    mailbox(&mut tx, "waits-for-its-owner", people, |_| {}).await?;
    mailbox(&mut tx, "disabled", app, |account| {
        "off@corp.test".clone_into(&mut account.login);
        account.is_enabled = false;
    })
    .await?;
    mailbox(&mut tx, "of-a-key", app, |account| {
        "ceo@corp.test".clone_into(&mut account.login);
        account.signs_in_for = Some(ApiKeyId::generate(&SystemClock));
    })
    .await?;

    let logins = grant::list_logins_without_grant(&mut tx, 10).await?;

    let [login] = logins.as_slice() else {
        anyhow::bail!("{logins:?}");
    };
    assert_eq!(
        (login.client_configuration_id, login.flow),
        (app, Flow::JwtBearer)
    );
    assert_eq!(start(&mut tx, login).await?, ["jo", "jo-out"]);
    assert!(
        grant::list_logins_without_grant(&mut tx, 10)
            .await?
            .is_empty()
    );
    let replica = sample::replica();
    let claimed = grant::claim_due(&mut tx, &sample::claiming(replica), NOW, 10).await?;
    let [claimed] = claimed.as_slice() else {
        anyhow::bail!("{claimed:?}");
    };
    assert_eq!(
        (claimed.subject.as_str(), claimed.flow),
        ("jo@corp.test", Flow::JwtBearer)
    );
    assert!(!claimed.has_token() && claimed.refresh_token.is_none());
    let found = account::find_by_key(&mut tx, &inbound.key).await?;
    let found = found.context("the account is gone")?;
    assert_eq!(found.grant_id, Some(claimed.id));
    assert_eq!(found.revision, inbound.revision + 1);
    Ok(())
}

#[tokio::test]
async fn an_account_that_comes_later_shares_the_grant() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let app = client(&mut tx, "app", Flow::ClientCredentials).await?;
    mailbox(&mut tx, "jo", app, |_| {}).await?;
    let logins = grant::list_logins_without_grant(&mut tx, 10).await?;
    start(&mut tx, &logins[0]).await?;
    mailbox(&mut tx, "jo-out", app, |_| {}).await?;

    let logins = grant::list_logins_without_grant(&mut tx, 10).await?;

    assert_eq!(start(&mut tx, &logins[0]).await?, ["jo-out"]);
    let claiming = sample::claiming(sample::replica());
    assert_eq!(
        grant::claim_due(&mut tx, &claiming, NOW, 10).await?.len(),
        1
    );
    Ok(())
}

#[tokio::test]
async fn of_two_replicas_one_starts_grants() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let app = client(&mut tx, "app", Flow::ClientCredentials).await?;
    mailbox(&mut tx, "jo", app, |_| {}).await?;
    mailbox(&mut tx, "jo-out", app, |_| {}).await?;
    tx.commit().await?;

    let mut one = world.database.begin().await?;
    let mut other = world.database.begin().await?;
    let mine = grant::list_logins_without_grant(&mut one, 1).await?;
    let theirs = grant::list_logins_without_grant(&mut other, 1).await?;

    assert_eq!((mine.len(), theirs.len()), (1, 0));
    assert_eq!(start(&mut one, &mine[0]).await?, ["jo", "jo-out"]);
    one.commit().await?;
    assert!(
        grant::list_logins_without_grant(&mut other, 1)
            .await?
            .is_empty()
    );
    Ok(())
}

#[tokio::test]
async fn a_mailbox_without_a_first_token_is_not_shown_as_working() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let app = client(&mut tx, "app", Flow::ClientCredentials).await?;
    let account = mailbox(&mut tx, "jo", app, |_| {}).await?;
    let logins = grant::list_logins_without_grant(&mut tx, 10).await?;
    start(&mut tx, &logins[0]).await?;

    let before = account_status::list_by_ids(&mut tx, &[account.id]).await?;

    assert_eq!(before[0].state, AccountState::Unknown);
    let why = before[0].unreported.as_ref().context("no reason")?;
    assert!(why.what.contains("first token"), "{why:?}");
    let claiming = sample::claiming(sample::replica());
    let claimed = grant::claim_due(&mut tx, &claiming, NOW, 10).await?;
    let tokens = NewTokens {
        scopes: Some(vec!["granted".to_owned()]),
        token_origin: "https://id.test".to_owned(),
        access_token: sample::sealed(11)?,
        refresh_token: None,
        access_expires_at: LATER,
        refresh_due_at: LATER,
        refresh_expires_at: None,
    };
    let stored = grant::record_refresh(&mut tx, claimed[0].id, 0, &tokens, NOW).await?;
    assert_eq!(stored, Some(1));
    let flow = grant::find_flow(&mut tx, claimed[0].id).await?;
    assert_eq!(flow, Some(Flow::ClientCredentials));
    let after = account_status::list_by_ids(&mut tx, &[account.id]).await?;
    let why = after[0].unreported.as_ref();
    assert!(
        why.is_none_or(|why| !why.what.contains("first token")),
        "{why:?}"
    );
    Ok(())
}

#[tokio::test]
async fn keys_and_flow_of_a_client_are_kept() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let mut stored = ClientConfiguration {
        flow: Flow::ClientCredentials,
        token_endpoint_auth: Some(mailmesh_domain::TokenEndpointAuth::PrivateKeyJwt),
        certificate_pem: Some("certificate".to_owned()),
        ..sample::client("app")?
    };
    client_configuration::insert(&mut tx, &stored).await?;
    stored.private_key = RowSecret::Sealed(sample::sealed(21)?);
    stored.certificate_pem = None;

    client_configuration::update(&mut tx, &stored).await?;

    let found = client_configuration::find(&mut tx, stored.id).await?;
    let found = found.context("the client is gone")?;
    assert_eq!(found.flow, Flow::ClientCredentials);
    assert_eq!(found.private_key, stored.private_key);
    assert_eq!(
        (found.certificate_pem, found.token_endpoint_auth),
        (None, stored.token_endpoint_auth)
    );
    let turned = ClientConfiguration {
        flow: Flow::User,
        ..stored
    };
    assert!(
        client_configuration::update(&mut tx, &turned)
            .await
            .is_err(),
        "a flow stays"
    );
    Ok(())
}
