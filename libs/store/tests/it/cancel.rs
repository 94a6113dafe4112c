use anyhow::Result;
use mailmesh_domain::{AccountId, MailId};
use mailmesh_store::outbound_mail::{self, CancelRequest, CancelResult, NewOutboundMail};
use time::Duration;
use uuid::Uuid;

use crate::sample::{self, NOW};
use crate::world::World;

fn request(account: AccountId, sequence: u64, key: &str) -> CancelRequest {
    CancelRequest {
        event_id: Uuid::from_u128(sequence.into()),
        account_id: account,
        stream_sequence: sequence,
        stored_at: NOW,
        mail_id: None,
        idempotency_key: Some(key.to_owned()),
    }
}

/// A mail whose command was stored at [`NOW`] and so much later.
fn asked(account: AccountId, key: &str, sequence: u64, later: Duration) -> NewOutboundMail {
    let at = (NOW + later).unix_timestamp_nanos() / 1_000_000;
    let at = u64::try_from(at).unwrap_or_default();
    let random = [u8::try_from(sequence).unwrap_or_default(); 10];
    let id = uuid::Builder::from_unix_timestamp_millis(at, &random).into_uuid();
    NewOutboundMail {
        id: MailId::from_uuid(id),
        stream_sequence: sequence,
        ..sample::outbound(account, key)
    }
}

#[tokio::test]
async fn mail_whose_cancel_is_kept_is_not_claimed() -> Result<()> {
    let world = World::new().await?;
    let replica = sample::replica();
    let mut tx = world.database.begin().await?;
    let account = sample::held(&mut tx, "support", replica).await?;
    let by_key = request(account, 20, "by-key");
    let mails = [("by-key", 1), ("by-id", 2), ("other", 3)];
    let mails = mails.map(|(key, sequence)| asked(account, key, sequence, Duration::ZERO));
    let by_id = CancelRequest {
        mail_id: Some(mails[1].id),
        idempotency_key: Some("other".to_owned()),
        ..request(account, 21, "other")
    };
    for request in [&by_key, &by_id] {
        outbound_mail::keep_cancel(&mut tx, request, NOW).await?;
        outbound_mail::keep_cancel(&mut tx, request, NOW).await?;
    }
    outbound_mail::insert(&mut tx, &mails, NOW).await?;

    let claimed = outbound_mail::claim_due(&mut tx, replica, account, 10, NOW).await?;
    let kept = outbound_mail::claim_cancels(&mut tx, 10, NOW).await?;
    for request in &kept {
        let result = outbound_mail::settle_cancel(&mut tx, request, NOW).await?;
        assert!(matches!(result, CancelResult::Cancelled(_)), "{result:?}");
    }
    outbound_mail::delete_cancels(&mut tx, &[by_key.event_id, by_id.event_id]).await?;

    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].idempotency_key, "other");
    assert_eq!(kept.len(), 2);
    assert!(!outbound_mail::has_kept_cancels(&mut tx).await?);
    Ok(())
}

#[tokio::test]
async fn sequence_orders_a_cancel_and_its_mail_within_one_stream() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let account = sample::held(&mut tx, "support", sample::replica()).await?;
    let hour = Duration::hours(1);
    for (key, sequence, later, is_cancelled) in [
        ("before", 9, Duration::ZERO, true),
        ("after", 11, Duration::ZERO, false),
        // The clocks of two leaders of the stream differ a little.
        ("before by sequence", 9, Duration::seconds(2), true),
        ("after by sequence", 11, Duration::seconds(-2), false),
        // The stream was made anew in between.
        ("of an earlier stream", 5_000, -hour, true),
        ("of a later stream", 1, hour, false),
    ] {
        let mail = asked(account, key, sequence, later);
        outbound_mail::insert(&mut tx, &[mail], NOW).await?;

        let result = outbound_mail::settle_cancel(&mut tx, &request(account, 10, key), NOW).await?;

        let found = matches!(result, CancelResult::Cancelled(_));
        assert_eq!(found, is_cancelled, "{key}: {result:?}");
    }
    Ok(())
}

#[tokio::test]
async fn cancel_of_a_mail_that_is_being_sent_stays_open_until_it_ends() -> Result<()> {
    let world = World::new().await?;
    let replica = sample::replica();
    let mut tx = world.database.begin().await?;
    let account = sample::held(&mut tx, "support", replica).await?;
    let mail = asked(account, "k", 9, Duration::ZERO);
    outbound_mail::insert(&mut tx, std::slice::from_ref(&mail), NOW).await?;
    let request = request(account, 10, "k");
    let missing = CancelRequest {
        idempotency_key: Some("missing".to_owned()),
        ..request.clone()
    };

    outbound_mail::claim_due(&mut tx, replica, account, 10, NOW).await?;
    let sending = outbound_mail::settle_cancel(&mut tx, &request, NOW).await?;
    let sent = crate::attempt::sent(mail.id, 1);
    outbound_mail::record_outcomes(&mut tx, &[sent], NOW).await?;
    let ended = outbound_mail::settle_cancel(&mut tx, &request, NOW).await?;
    let nothing = outbound_mail::settle_cancel(&mut tx, &missing, NOW).await?;

    assert!(matches!(sending, CancelResult::Open), "{sending:?}");
    assert!(matches!(ended, CancelResult::Ended(_)), "{ended:?}");
    assert!(matches!(nothing, CancelResult::NotFound), "{nothing:?}");
    Ok(())
}
