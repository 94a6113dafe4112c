use anyhow::{Context, Result};
use mailmesh_domain::{Authorisation, ClientConfigurationId, Direction, Key, Protocol};
use mailmesh_store::account::{self, Account, ServerAddress};
use mailmesh_store::{Database, Tx, client_configuration, grant, replica};

use crate::sample::{self, LATER, NOW};
use crate::world::World;

async fn stored(
    tx: &mut Tx,
    key: &str,
    direction: Direction,
    client: Option<ClientConfigurationId>,
) -> Result<Account> {
    let mut account = sample::account(key, direction)?;
    account.authorisation = Authorisation::OAuth2;
    account.client_configuration_id = client;
    "Support@example.com".clone_into(&mut account.login);
    account::insert(tx, &account).await?;
    Ok(account)
}

#[tokio::test]
async fn accounts_are_listed_and_counted_by_client_configuration() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let used = sample::stored_client(&mut tx, "used").await?;
    let unused = sample::stored_client(&mut tx, "unused").await?;
    stored(&mut tx, "two", Direction::Inbound, Some(used)).await?;
    stored(&mut tx, "one", Direction::Outbound, Some(used)).await?;
    stored(&mut tx, "without", Direction::Inbound, None).await?;

    let listed = account::list_by_client(&mut tx, used).await?;
    let keys: Vec<&str> = listed.iter().map(|account| account.key.as_str()).collect();

    assert_eq!(keys, ["one", "two"]);
    assert!(account::list_by_client(&mut tx, unused).await?.is_empty());
    assert_eq!(account::count_by_client(&mut tx).await?, [(used, 2)]);
    Ok(())
}

#[tokio::test]
async fn accounts_of_one_mailbox_are_known_by_what_they_speak() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let client = sample::stored_client(&mut tx, "example").await?;
    let other = sample::stored_client(&mut tx, "other").await?;
    let inbound = stored(&mut tx, "in", Direction::Inbound, Some(client)).await?;
    stored(&mut tx, "out", Direction::Outbound, Some(client)).await?;
    let elsewhere = stored(&mut tx, "other", Direction::Inbound, Some(other)).await?;

    let shared = account::list_protocols(&mut tx, &inbound).await?;
    let alone = account::list_protocols(&mut tx, &elsewhere).await?;

    assert_eq!(shared, [Protocol::Imap, Protocol::Smtp]);
    assert_eq!(alone, [Protocol::Imap]);
    Ok(())
}

#[tokio::test]
async fn a_new_account_finds_the_grant_of_its_login() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let client = sample::stored_client(&mut tx, "example").await?;
    let other = sample::stored_client(&mut tx, "other").await?;
    let account = stored(&mut tx, "in", Direction::Inbound, Some(client)).await?;
    let before = account::find_grant(&mut tx, client, &account.login, None).await?;
    let grant = sample::stored_grant(&mut tx, client, "s-1").await?;
    account::attach_grant(&mut tx, account.id, grant.id, NOW).await?;

    let found = account::find_grant(&mut tx, client, "SUPPORT@example.com", None).await?;
    let elsewhere = account::find_grant(&mut tx, other, &account.login, None).await?;

    assert_eq!((before, elsewhere), (None, None));
    assert_eq!(found, Some(grant.id));
    Ok(())
}

type Change = fn(&mut Account);

fn move_server(account: &mut Account, change: impl Fn(&mut ServerAddress)) {
    account.server.iter_mut().for_each(change);
}

#[tokio::test]
async fn a_server_is_known_by_all_that_decides_who_answers_there() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let client = sample::stored_client(&mut tx, "example").await?;
    let other = sample::stored_client(&mut tx, "other").await?;
    let account = stored(&mut tx, "in", Direction::Inbound, Some(client)).await?;
    let mut with_password = sample::account("password", Direction::Inbound)?;
    with_password.authorisation = Authorisation::Password;
    move_server(&mut with_password, |server| {
        "password.example.com".clone_into(&mut server.host);
    });
    account::insert(&mut tx, &with_password).await?;
    let changes: [(bool, Change); 6] = [
        (true, |account| account.login.push('x')),
        (true, |account| {
            move_server(account, |server| server.host = server.host.to_uppercase());
        }),
        (false, |account| {
            move_server(account, |server| server.host.push('x'));
        }),
        (false, |account| {
            move_server(account, |server| server.port += 1);
        }),
        (false, |account| account.ca_pem = Some("pem".to_owned())),
        (false, |account| {
            move_server(account, |server| {
                "password.example.com".clone_into(&mut server.host);
            });
        }),
    ];

    for (is_known, change) in changes {
        let mut moved = account.clone();
        change(&mut moved);
        let found = account::has_known_server(&mut tx, &moved).await?;
        assert_eq!(found, is_known, "{moved:?}");
    }
    let mut elsewhere = account;
    elsewhere.client_configuration_id = Some(other);
    assert!(!account::has_known_server(&mut tx, &elsewhere).await?);
    Ok(())
}

#[tokio::test]
async fn the_inbound_account_of_a_mailbox_is_found_by_grant_or_login() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let client = sample::stored_client(&mut tx, "example").await?;
    let mut outbound = stored(&mut tx, "out", Direction::Outbound, Some(client)).await?;
    let before = account::find_inbound_of(&mut tx, &outbound).await?;
    let inbound = stored(&mut tx, "in", Direction::Inbound, Some(client)).await?;
    stored(&mut tx, "other-client", Direction::Inbound, None).await?;

    let by_login = account::find_inbound_of(&mut tx, &outbound).await?;
    let grant = sample::stored_grant(&mut tx, client, "s-1").await?;
    account::attach_grant(&mut tx, inbound.id, grant.id, NOW).await?;
    outbound.grant_id = Some(grant.id);
    outbound.login = "alias@example.com".to_owned();
    let by_grant = account::find_inbound_of(&mut tx, &outbound).await?;

    assert!(before.is_none());
    assert_eq!(by_login.map(|account| account.id), Some(inbound.id));
    assert_eq!(by_grant.map(|account| account.id), Some(inbound.id));
    Ok(())
}

#[tokio::test]
async fn the_inbound_account_that_shows_sent_mail_is_preferred() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let outbound = stored(&mut tx, "out", Direction::Outbound, None).await?;
    let mut pop3 = sample::account("pop3", Direction::Inbound)?;
    pop3.protocol = Protocol::Pop3;
    pop3.login.clone_from(&outbound.login);
    pop3.created_at = NOW - std::time::Duration::from_hours(1);
    account::insert(&mut tx, &pop3).await?;
    let only = account::find_inbound_of(&mut tx, &outbound).await?;
    let imap = stored(&mut tx, "imap", Direction::Inbound, None).await?;

    let found = account::find_inbound_of(&mut tx, &outbound).await?;

    assert_eq!(only.map(|account| account.id), Some(pop3.id));
    assert_eq!(found.map(|account| account.id), Some(imap.id));
    Ok(())
}

/// Reads an account, and stores it with a longer name.
async fn lengthen(database: &Database, key: &Key) -> Result<()> {
    let mut tx = database.begin().await?;
    let found = account::find_for_update(&mut tx, key).await?;
    let mut account = found.context("the account is gone")?;
    account.name.push('x');
    account.updated_at = LATER;
    account::update(&mut tx, &account).await?;
    Ok(tx.commit().await?)
}

#[tokio::test]
async fn changes_of_what_was_read_for_update_follow_each_other() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = stored(&mut tx, "in", Direction::Inbound, None).await?;
    tx.commit().await?;

    tokio::try_join!(
        lengthen(&world.database, &account.key),
        lengthen(&world.database, &account.key)
    )?;

    let mut tx = world.database.begin().await?;
    let found = account::find_by_key(&mut tx, &account.key).await?.unwrap();
    assert_eq!(found.name, "Supportxx");
    assert_eq!(found.revision, 3);
    Ok(())
}

#[tokio::test]
async fn a_client_configuration_is_found_for_update() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let client = sample::stored_client(&mut tx, "example").await?;

    let found = client_configuration::find_for_update(&mut tx, &Key::try_new("example")?).await?;
    let missing = client_configuration::find_for_update(&mut tx, &Key::try_new("other")?).await?;

    assert_eq!(found.map(|found| found.id), Some(client));
    assert!(missing.is_none());
    Ok(())
}

#[tokio::test]
async fn only_a_grant_without_accounts_is_deleted_as_unused() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let client = sample::stored_client(&mut tx, "example").await?;
    let grant = sample::stored_grant(&mut tx, client, "s-1").await?;
    let account = stored(&mut tx, "in", Direction::Inbound, Some(client)).await?;
    account::attach_grant(&mut tx, account.id, grant.id, NOW).await?;

    let used = grant::delete_unused(&mut tx, grant.id).await?;
    account::delete(&mut tx, account.id).await?;
    let unused = grant::delete_unused(&mut tx, grant.id).await?;

    assert_eq!((used, unused), (false, true));
    assert!(!grant::delete_unused(&mut tx, grant.id).await?);
    Ok(())
}

#[tokio::test]
async fn the_living_are_counted_by_service() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    for service in ["inbound-fetcher", "admin", "inbound-fetcher"] {
        replica::beat(&mut tx, sample::replica(), service).await?;
    }

    let alive = replica::count_alive(&mut tx).await?;

    let wanted = [("admin".to_owned(), 1), ("inbound-fetcher".to_owned(), 2)];
    assert_eq!(alive, wanted);
    Ok(())
}
