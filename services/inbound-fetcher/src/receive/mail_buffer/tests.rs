use bytes::Bytes;

use super::*;

fn mail(ordinal: u64, size: usize, is_complete: bool) -> FetchedMail {
    FetchedMail {
        ordinal,
        bytes: None,
        received_at: None,
        flags: Vec::new(),
        body: Bytes::from(vec![b'x'; size]),
        is_complete,
    }
}

async fn take_all(mails: Vec<FetchedMail>, budget: &Budget) -> (Vec<Vec<u64>>, Vec<(u64, usize)>) {
    let (sender, receiver) = mpsc::channel(mails.len().max(1));
    for mail in mails {
        sender.send(mail).await.unwrap();
    }
    drop(sender);
    let mut buffer = MailBuffer::new(receiver, budget);
    let mut batches = Vec::new();
    while let Some(batch) = buffer.next_batch().await {
        batches.push(batch.iter().map(|held| held.mail.ordinal).collect());
        while buffer.has_room() {
            buffer.gather().await;
        }
    }
    let behind = buffer.into_behind().into_iter();
    let behind = behind.map(|held| (held.mail.ordinal, held.mail.body.len()));
    (batches, behind.collect())
}

#[tokio::test]
async fn what_comes_after_a_large_mail_waits_for_it() {
    let budget = Budget::new(64 << 20);
    let mails = vec![
        mail(1, 10, true),
        mail(2, 10, true),
        mail(3, 500, false),
        mail(4, 10, true),
    ];

    let (batches, behind) = take_all(mails, &budget).await;

    assert_eq!(batches.concat(), [1, 2]);
    assert_eq!(behind, [(3, 500), (4, 10)]);
}

#[tokio::test]
async fn what_does_not_fit_behind_is_left_out_with_all_that_follows() {
    let budget = Budget::new(64 << 20);
    let mails = vec![
        mail(1, 500, false),
        mail(2, BEHIND_BYTES - 500, true),
        mail(3, 1, true),
        mail(4, 0, true),
    ];

    let (_, behind) = take_all(mails, &budget).await;

    assert_eq!(behind, [(1, 500), (2, BEHIND_BYTES - 500)]);
}

#[tokio::test]
async fn first_large_mail_stays_without_its_beginning_if_memory_is_short() {
    let budget = Budget::new(8_000);
    let all = budget.try_take_behind(1_000).unwrap();

    let (_, behind) = take_all(vec![mail(1, 500, false), mail(2, 10, true)], &budget).await;

    assert_eq!(behind, [(1, 0)]);
    drop(all);
}

#[tokio::test]
async fn batch_holds_no_more_than_its_mails() {
    let budget = Budget::new(64 << 20);
    let mails = (1..=300).map(|ordinal| mail(ordinal, 1, true)).collect();

    let (batches, _) = take_all(mails, &budget).await;

    assert!(batches.iter().all(|batch| batch.len() <= BATCH_MAILS));
    assert!(batches.concat().into_iter().eq(1..=300));
}
