use anyhow::Result;
use mailmesh_domain::{
    AccountId, AfterReceive, Authorisation, ClientConfigurationId, Direction, GrantId, Key,
    Protocol, SystemClock,
};
use mailmesh_store::account::{self, Account};
use mailmesh_store::{RowSecret, StoreError, Tx, account_status, client_configuration};

use crate::sample::{self, LATER, NOW};
use crate::world::World;

#[tokio::test]
async fn an_account_is_read_as_it_was_stored() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let stored = sample::account("support", Direction::Inbound)?;
    account::insert(&mut tx, &stored).await?;
    let other = sample::stored(&mut tx, "billing", Direction::Outbound).await?;
    let nobody = AccountId::generate(&SystemClock);

    let found = account::find_by_key(&mut tx, &stored.key).await?;
    let listed = account::list(&mut tx).await?;
    let by_ids = account::list_by_ids(&mut tx, &[other, nobody]).await?;

    assert_eq!(format!("{:?}", listed[1]), format!("{stored:?}"));
    assert_eq!(listed[1].password, stored.password);
    assert_eq!(by_ids[0].password, stored.password);
    let unread = account::Account {
        password: RowSecret::Unread,
        ..stored
    };
    assert_eq!(format!("{found:?}"), format!("{:?}", Some(&unread)));
    let keys: Vec<&str> = listed.iter().map(|account| account.key.as_str()).collect();
    assert_eq!(keys, ["billing", "support"]);
    assert_eq!(by_ids.len(), 1);
    assert_eq!(by_ids[0].id, other);
    Ok(())
}

#[tokio::test]
async fn each_change_counts_the_revision_up() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let mut account = sample::account("support", Direction::Inbound)?;
    account::insert(&mut tx, &account).await?;

    account.name = "Renamed".to_owned();
    account.after_receive = AfterReceive::Delete;
    account.delete_after_days = Some(7);
    account.protocol = Protocol::Pop3;
    account.move_to = None;
    account.password = RowSecret::Absent;
    account.updated_at = LATER;
    account::update(&mut tx, &account).await?;

    account.revision = 2;
    let found = account::find_by_key(&mut tx, &account.key).await?;
    assert_eq!(format!("{found:?}"), format!("{:?}", Some(&account)));
    let revisions = account::list_revisions(&mut tx, &[account.id]).await?;
    assert_eq!(revisions, [(account.id, 2)]);
    Ok(())
}

#[tokio::test]
async fn a_password_that_was_not_read_stays() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let stored = sample::account("support", Direction::Inbound)?;
    account::insert(&mut tx, &stored).await?;
    let mut unread = account::find_for_update(&mut tx, &stored.key)
        .await?
        .unwrap();

    unread.name = "Renamed".to_owned();
    account::update(&mut tx, &unread).await?;

    let kept = account::list_by_ids(&mut tx, &[stored.id]).await?;
    assert_eq!(unread.password, RowSecret::Unread);
    assert_eq!(kept[0].password, stored.password);
    assert_eq!(kept[0].name, "Renamed");
    Ok(())
}

#[tokio::test]
async fn a_protocol_that_is_spoken_to_a_server_needs_one() -> Result<()> {
    for protocol in [Protocol::Imap, Protocol::Pop3, Protocol::Smtp] {
        let world = World::new().await?;
        let mut tx = world.database.begin().await?;
        let account = Account {
            protocol,
            server: None,
            ..sample::account("support", protocol.usual_direction())?
        };

        let refused = account::insert(&mut tx, &account).await;

        assert!(refused.is_err(), "{protocol}");
        assert!(account.server_address().is_err());
    }
    Ok(())
}

#[tokio::test]
async fn a_key_is_taken_once_and_a_deleted_account_cannot_change() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = sample::account("support", Direction::Inbound)?;
    account::insert(&mut tx, &account).await?;

    assert!(account::delete(&mut tx, account.id).await?);
    assert!(!account::delete(&mut tx, account.id).await?);
    let gone = account::update(&mut tx, &account).await;
    account::insert(&mut tx, &account).await?;
    let taken = account::insert(&mut tx, &sample::account("support", Direction::Outbound)?).await;

    assert!(matches!(gone, Err(StoreError::RowGone { .. })));
    assert!(matches!(taken, Err(StoreError::Conflict { .. })));
    Ok(())
}

#[tokio::test]
async fn a_bad_row_names_table_column_and_id() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let id = sample::stored(&mut tx, "support", Direction::Inbound).await?;
    tx.commit().await?;
    world
        .execute("UPDATE accounts SET key = 'Not A Key'")
        .await?;

    let mut tx = world.database.begin().await?;
    let error = account::list_by_ids(&mut tx, &[id]).await.unwrap_err();

    let wanted = format!("row {id} of accounts has a bad key");
    assert_eq!(error.to_string(), wanted);
    Ok(())
}

/// Stores an account that signs in with OAuth.
async fn oauth(
    tx: &mut Tx,
    key: &str,
    client: ClientConfigurationId,
    login: &str,
) -> Result<Account> {
    let mut account = sample::account(key, Direction::Inbound)?;
    account.authorisation = Authorisation::OAuth2;
    account.password = RowSecret::Absent;
    account.client_configuration_id = Some(client);
    login.clone_into(&mut account.login);
    account::insert(tx, &account).await?;
    Ok(account)
}

#[tokio::test]
async fn a_grant_goes_to_every_account_of_the_same_mailbox() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let client = sample::stored_client(&mut tx, "example").await?;
    let other = sample::stored_client(&mut tx, "other").await?;
    let inbound = oauth(&mut tx, "in", client, "Support@example.com").await?;
    oauth(&mut tx, "out", client, "support@EXAMPLE.com").await?;
    oauth(&mut tx, "other-login", client, "billing@example.com").await?;
    oauth(&mut tx, "other-client", other, "support@example.com").await?;
    let mut password = sample::account("password", Direction::Inbound)?;
    password.login = "support@example.com".to_owned();
    password.client_configuration_id = Some(client);
    account::insert(&mut tx, &password).await?;
    let grant = sample::stored_grant(&mut tx, client, "s-1").await?;

    let given = account::attach_grant(&mut tx, inbound.id, grant.id, LATER).await?;

    let mut given: Vec<&str> = given.iter().map(mailmesh_domain::Key::as_str).collect();
    given.sort_unstable();
    assert_eq!(given, ["in", "out"]);
    let listed = account::list_keys_by_grant(&mut tx, grant.id).await?;
    let listed: Vec<&str> = listed.iter().map(mailmesh_domain::Key::as_str).collect();
    assert_eq!(listed, given);
    let found = account::find_by_key(&mut tx, &inbound.key).await?.unwrap();
    assert_eq!((found.grant_id, found.revision), (Some(grant.id), 2));
    Ok(())
}

#[tokio::test]
async fn an_account_that_is_gone_gets_no_grant() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let nobody = AccountId::generate(&SystemClock);

    let grant = GrantId::generate(&SystemClock);
    let error = account::attach_grant(&mut tx, nobody, grant, NOW)
        .await
        .unwrap_err();

    assert!(matches!(error, StoreError::RowGone { .. }), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_change_that_was_read_before_a_sign_in_does_not_undo_it() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let client = sample::stored_client(&mut tx, "example").await?;
    let mut read_before = oauth(&mut tx, "in", client, "a@example.com").await?;
    let grant = sample::stored_grant(&mut tx, client, "s-1").await?;
    account::attach_grant(&mut tx, read_before.id, grant.id, LATER).await?;

    read_before.name = "Renamed".to_owned();
    let changed = account::update(&mut tx, &read_before).await;

    assert!(matches!(changed, Err(StoreError::RowGone { .. })));
    let found = account::find_by_key(&mut tx, &read_before.key).await?;
    assert_eq!(found.unwrap().grant_id, Some(grant.id));
    Ok(())
}

#[tokio::test]
async fn an_account_outlives_its_grant() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let client = sample::stored_client(&mut tx, "example").await?;
    let mut account = sample::account("support", Direction::Inbound)?;
    let grant = sample::stored_grant(&mut tx, client, "s-1").await?;
    account.grant_id = Some(grant.id);
    account::insert(&mut tx, &account).await?;

    client_configuration::delete(&mut tx, client).await?;

    let found = account::find_by_key(&mut tx, &account.key).await?;
    assert_eq!(found.unwrap().grant_id, None);
    let status = account_status::list_by_ids(&mut tx, &[account.id]).await?;
    assert_eq!(status.len(), 1);
    Ok(())
}

#[tokio::test]
async fn deleted_account_with_a_long_history_is_gone_at_once_and_removed_in_parts() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = sample::account("support", Direction::Outbound)?;
    account::insert(&mut tx, &account).await?;
    tx.commit().await?;
    world
        .execute(&format!(
            "INSERT INTO outbound_mails (mail_id, account_id, idempotency_key, is_key_given,
                 content_sha256, message_id, envelope_from, recipients, size_bytes, chunks, state,
                 due_at, on_uncertain, created_at, finished_at)
             SELECT gen_random_uuid(), '{id}', n::text, true, '\\x00', 'm', 'f', '[]', 1, 1, 'sent',
                    now(), 'hold', now(), now() FROM generate_series(1, 2500) n;
             INSERT INTO received_mails (mail_id, account_id, folder, epoch, position, ordinal,
                 sha256, size_bytes, chunks, is_post_action_due, recorded_at)
             SELECT gen_random_uuid(), '{id}', 'INBOX', '1', n, n, sha256(n::text::bytea), 1, 1,
                    false, now() FROM generate_series(1, 1500) n",
            id = account.id
        ))
        .await?;

    let mut tx = world.database.begin().await?;
    assert!(account::delete(&mut tx, account.id).await?);
    assert!(!account::delete(&mut tx, account.id).await?);
    let found = account::find_by_key(&mut tx, &account.key).await?;
    let mail = [sample::outbound(account.id, "late")];
    let late = mailmesh_store::outbound_mail::insert(&mut tx, &mail, sample::NOW).await;
    let successor = sample::account("support", Direction::Outbound)?;
    account::insert(&mut tx, &successor).await?;
    let listed = account::list(&mut tx).await?.len();
    tx.commit().await?;
    let mut parts = Vec::new();
    loop {
        let mut tx = world.database.begin().await?;
        let part = account::remove_deleted(&mut tx).await?;
        tx.commit().await?;
        let Some(rows) = part else { break };
        parts.push(rows);
    }

    assert!(found.is_none());
    assert!(late.is_err(), "{late:?}");
    assert_eq!(listed, 1);
    assert_eq!(parts, [1_000, 1_500, 501]);
    for table in ["outbound_mails", "received_mails"] {
        let left: i64 = world.read(&format!("SELECT count(*) FROM {table}")).await?;
        assert_eq!(left, 0, "{table}");
    }
    Ok(())
}

#[tokio::test]
async fn a_page_begins_behind_a_key_and_ends_at_its_limit() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    for key in ["b", "c", "a"] {
        sample::stored(&mut tx, key, Direction::Inbound).await?;
    }

    let first = account::list_page(&mut tx, None, None, 2).await?;
    let rest = account::list_page(&mut tx, None, Some(&first[1].key), 2).await?;
    let among = [Key::try_new("c")?, Key::try_new("gone")?];
    let some = account::list_page(&mut tx, Some(&among), None, 2).await?;

    let keys =
        |page: &[Account]| -> Vec<String> { page.iter().map(|one| one.key.to_string()).collect() };
    assert_eq!(
        (keys(&first), keys(&rest)),
        (vec!["a".into(), "b".into()], vec!["c".into()])
    );
    assert_eq!(keys(&some), ["c"]);
    Ok(())
}
