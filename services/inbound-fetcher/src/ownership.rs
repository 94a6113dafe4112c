use mailmesh_bus::{Fence, Stored};
use mailmesh_domain::{AccountId, AfterReceive, MailId};
use mailmesh_events::decode_event;
use mailmesh_events::mail::{MailReceived, Origin};
use mailmesh_store::account::Account;
use mailmesh_store::mailbox::{self, Cursor, ReceivedMail};
use mailmesh_store::{account_status, progress};
use tracing::{info, instrument};

use crate::context::Context;
use crate::failure::Failure;
use crate::mail_id::{derive, from_hex};
use crate::published_index::PublishedIndex;

/// The right to publish an account's mails, and what is known to be published.
#[derive(Debug)]
pub(crate) struct Ownership {
    pub(crate) fence: Fence,
    pub(crate) published: PublishedIndex,
}

/// What taking an account over gives.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) ownership: Ownership,
    pub(crate) cursors: Vec<Cursor>,
    /// Mails were published that nobody had recorded.
    pub(crate) has_read_back: bool,
}

/// Takes the fence, then loads how far the account was recorded and reads back what was published
/// beyond it. From then on nobody else can publish, and nothing that was published is unknown.
#[instrument(name = "own.account", skip_all, fields(account.id = %account.id))]
pub(crate) async fn take(context: &Context, account: &Account) -> Result<Taken, Failure> {
    let fence = context.replica.bus.take_fence(account.key.as_str()).await?;
    let mut tx = context.replica.database.begin().await?;
    // The sequence before the cursors: an earlier owner may record in between, and a sequence newer
    // than its cursor would hide events.
    let status = account_status::list_by_ids(&mut tx, &[account.id]).await?;
    let cursors = mailbox::list_cursors(&mut tx, &[account.id]).await?;
    tx.commit().await?;

    let recorded = status.first().map_or(0, |status| status.event_sequence);
    let recorded = u64::try_from(recorded).unwrap_or(0);
    let mut published = PublishedIndex::starting_at(recorded);
    let subject = format!("mail.received.{}", account.key);
    let mut events = context.replica.bus.read_back(&subject, recorded)?;
    let mut found = 0;
    loop {
        let batch = events.next_batch().await?;
        if batch.is_empty() {
            break;
        }
        found += note_batch(context, account, &cursors, &mut published, &batch).await?;
    }
    if found > 0 {
        info!(account.id = %account.id, mails = found, "Read back published mails");
    }
    Ok(Taken {
        ownership: Ownership { fence, published },
        cursors,
        has_read_back: found > 0,
    })
}

async fn note_batch(
    context: &Context,
    account: &Account,
    cursors: &[Cursor],
    published: &mut PublishedIndex,
    batch: &[Stored],
) -> Result<usize, Failure> {
    let mut mails = Vec::with_capacity(batch.len());
    for stored in batch {
        published.see(stored.sequence);
        let Some(mail) = read_event(&context.replica.source(), account, stored)? else {
            continue;
        };
        let epoch = mail.position.epoch();
        let is_beyond = cursors.iter().any(|cursor| {
            cursor.folder == mail.folder && cursor.epoch == epoch && cursor.ordinal < mail.ordinal
        });
        if is_beyond {
            published.note(&mail.folder, mail.ordinal, stored.sequence);
        }
        mails.push(mail);
    }
    let recorded: Vec<&ReceivedMail> = mails.iter().collect();
    let mut tx = context.replica.database.begin().await?;
    progress::record(&mut tx, &recorded, context.now()).await?;
    tx.commit().await?;
    Ok(mails.len())
}

/// Reads an event back; none if it is not one of this account's mails.
///
/// Another account may have had the same key before, and whoever may publish on the subject may
/// have put something else there: neither must stop this account. What bears our own name and
/// cannot be read must, since the mail behind it would be published again.
fn read_event(
    source: &str,
    account: &Account,
    stored: &Stored,
) -> Result<Option<ReceivedMail>, Failure> {
    let event = match decode_event::<MailReceived>(&stored.headers, &stored.payload) {
        Ok(event) => event.data,
        Err(error) => {
            let is_ours = stored
                .headers
                .iter()
                .any(|(name, value)| name.eq_ignore_ascii_case("ce-source") && value == source);
            return if is_ours { Err(error.into()) } else { Ok(None) };
        }
    };
    Ok(from_event(account.id, account.after_receive, event))
}

fn from_event(
    account_id: AccountId,
    after_receive: AfterReceive,
    event: MailReceived,
) -> Option<ReceivedMail> {
    let sha256 = from_hex(&event.raw.sha256)?;
    let Origin { folder, position } = event.origin;
    let id: MailId = derive(account_id, &folder, &position, &sha256);
    (id == event.mail_id).then_some(ReceivedMail {
        id,
        account_id,
        folder,
        ordinal: position.ordinal().unwrap_or_default(),
        position,
        sha256,
        size_bytes: event.raw.bytes,
        chunks: event.raw.chunks,
        listed_bytes: None,
        is_post_action_due: after_receive != AfterReceive::Keep,
    })
}
