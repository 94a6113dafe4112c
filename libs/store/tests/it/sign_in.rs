use anyhow::Result;
use mailmesh_domain::{AccountId, ClientConfigurationId, Direction, SignInId, SystemClock};
use mailmesh_secrets::sha256;
use mailmesh_store::sign_in::{self, Start};
use mailmesh_store::{Database, StoreError, Tx};
use uuid::Uuid;

use crate::sample::{self, LATER, NOW};
use crate::world::World;

const LINK: [u8; 32] = [1; 32];
const BROWSER: [u8; 32] = [2; 32];
const CLIENT: Uuid = Uuid::from_u128(3);

struct Link {
    world: World,
    id: SignInId,
    account: AccountId,
}

/// A link that is good until `LATER`.
async fn link() -> Result<Link> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = sample::stored(&mut tx, "support", Direction::Inbound).await?;
    let id = SignInId::generate(&SystemClock);
    sign_in::insert(&mut tx, id, account, &LINK, LATER, NOW).await?;
    tx.commit().await?;
    Ok(Link { world, id, account })
}

async fn start(tx: &mut Tx, id: SignInId, state: &str) -> Result<()> {
    let verifier = sample::sealed(3)?;
    let start = Start {
        state_hash: &sha256(state.as_bytes()),
        browser_hash: &BROWSER,
        nonce: "nonce-1",
        verifier: &verifier,
        client: (ClientConfigurationId::from_uuid(CLIENT), NOW),
    };
    Ok(sign_in::start(tx, id, &start, NOW).await?)
}

async fn consume(database: &Database, state: &str) -> Result<Option<sign_in::SignIn>> {
    let mut tx = database.begin().await?;
    let found = sign_in::consume(&mut tx, &sha256(state.as_bytes()), NOW).await?;
    tx.commit().await?;
    Ok(found)
}

#[tokio::test]
async fn a_state_is_consumed_by_one_of_two() -> Result<()> {
    let Link { world, id, account } = link().await?;
    let mut tx = world.database.begin().await?;
    start(&mut tx, id, "state").await?;
    tx.commit().await?;

    let (first, second) = tokio::try_join!(
        consume(&world.database, "state"),
        consume(&world.database, "state")
    )?;

    assert!(first.is_some() != second.is_some());
    let consumed = first.or(second).unwrap();
    assert_eq!((consumed.id, consumed.account_id), (id, account));
    assert_eq!(consumed.browser_hash, BROWSER);
    assert_eq!(consumed.nonce, "nonce-1");
    assert_eq!(consumed.verifier, sample::sealed(3)?);
    let client = ClientConfigurationId::from_uuid(CLIENT);
    assert_eq!(consumed.client, Some((client, NOW)));
    assert!(consume(&world.database, "state").await?.is_none());
    Ok(())
}

#[tokio::test]
async fn a_late_answer_finds_no_state() -> Result<()> {
    let Link { world, id, .. } = link().await?;
    let mut tx = world.database.begin().await?;
    start(&mut tx, id, "state").await?;

    let late = sign_in::consume(&mut tx, &sha256(b"state"), LATER).await?;
    let unknown = sign_in::consume(&mut tx, &sha256(b"other"), NOW).await?;

    assert!(late.is_none());
    assert!(unknown.is_none());
    Ok(())
}

#[tokio::test]
async fn a_link_is_found_until_it_ends_or_was_followed_to_its_end() -> Result<()> {
    let Link { world, id, account } = link().await?;
    let mut tx = world.database.begin().await?;

    let fresh = sign_in::find_link(&mut tx, &LINK, NOW).await?;
    start(&mut tx, id, "state").await?;
    let started = sign_in::find_link(&mut tx, &LINK, NOW).await?;
    let late = sign_in::find_link(&mut tx, &LINK, LATER).await?;
    sign_in::consume(&mut tx, &sha256(b"state"), NOW).await?;
    let finished = sign_in::find_link(&mut tx, &LINK, NOW).await?;

    assert_eq!(fresh, Some((id, account)));
    assert_eq!(started, fresh);
    assert_eq!(late, None);
    assert_eq!(finished, None);
    Ok(())
}

#[tokio::test]
async fn following_a_link_again_voids_the_state_before() -> Result<()> {
    let Link { world, id, .. } = link().await?;
    let mut tx = world.database.begin().await?;
    start(&mut tx, id, "first").await?;
    start(&mut tx, id, "second").await?;

    let first = sign_in::consume(&mut tx, &sha256(b"first"), NOW).await?;
    let second = sign_in::consume(&mut tx, &sha256(b"second"), NOW).await?;

    assert!(first.is_none());
    assert!(second.is_some());
    let again = start(&mut tx, id, "third").await.unwrap_err();
    assert!(matches!(
        again.downcast_ref(),
        Some(StoreError::RowGone { .. })
    ));
    Ok(())
}

#[tokio::test]
async fn links_that_ended_long_ago_are_forgotten() -> Result<()> {
    let Link { world, account, .. } = link().await?;
    let mut tx = world.database.begin().await?;
    let id = SignInId::generate(&SystemClock);
    let much_later = LATER + time::Duration::hours(25);

    sign_in::insert(&mut tx, id, account, &[9; 32], much_later, much_later).await?;
    tx.commit().await?;

    let left: i64 = world.read("SELECT count(*) FROM sign_ins").await?;
    assert_eq!(left, 1);
    Ok(())
}

#[tokio::test]
async fn a_link_is_known_after_it_has_ended() -> Result<()> {
    let Link {
        world, id, account, ..
    } = link().await?;
    let mut tx = world.database.begin().await?;
    start(&mut tx, id, "state").await?;
    sign_in::consume(&mut tx, &sha256(b"state"), NOW).await?;

    let known = sign_in::find_account_of_link(&mut tx, &LINK).await?;
    let unknown = sign_in::find_account_of_link(&mut tx, &[8; 32]).await?;
    assert_eq!((known, unknown), (Some(account), None));
    Ok(())
}

#[tokio::test]
async fn a_state_ends_after_a_quarter_of_an_hour_and_its_link_does_not() -> Result<()> {
    let Link { world, id, .. } = link().await?;
    let mut tx = world.database.begin().await?;
    start(&mut tx, id, "state").await?;
    let late = NOW + time::Duration::minutes(15);

    let consumed = sign_in::consume(&mut tx, &sha256(b"state"), late).await?;

    assert!(consumed.is_none());
    assert!(sign_in::find_link(&mut tx, &LINK, late).await?.is_some());
    Ok(())
}

#[tokio::test]
async fn starting_again_and_again_does_not_keep_a_link_alive() -> Result<()> {
    let Link { world, id, .. } = link().await?;
    let mut tx = world.database.begin().await?;
    let at_the_end = LATER - time::Duration::minutes(1);
    let verifier = sample::sealed(3)?;
    let last = Start {
        state_hash: &sha256(b"last"),
        browser_hash: &BROWSER,
        nonce: "nonce-1",
        verifier: &verifier,
        client: (ClientConfigurationId::from_uuid(CLIENT), NOW),
    };
    sign_in::start(&mut tx, id, &last, at_the_end).await?;

    assert!(sign_in::find_link(&mut tx, &LINK, LATER).await?.is_none());
    // Whoever started in time may end it.
    let in_time = LATER + time::Duration::minutes(13);
    let consumed = sign_in::consume(&mut tx, &sha256(b"last"), in_time).await?;
    assert!(consumed.is_some());
    Ok(())
}
