use mailmesh_domain::{AfterReceive, MailId};
use mailmesh_mail::imap::{ImapError, Session};
use mailmesh_store::account::Account;
use mailmesh_store::mailbox::{self, Cursor};

use crate::context::Context;
use crate::failure::Failure;

const DUE_LIMIT: i64 = 500;

/// A recorded mail that something is still to be done with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Due {
    pub(crate) mail_id: MailId,
    pub(crate) uid: u32,
}

/// Does what earlier runs left undone in the open folder. Returns the server's refusal, if it refuses.
pub(crate) async fn catch_up(
    context: &Context,
    account: &Account,
    session: &mut Session,
    cursor: &Cursor,
) -> Result<Option<ImapError>, Failure> {
    if account.after_receive == AfterReceive::Keep {
        return Ok(None);
    }
    loop {
        let mut tx = context.replica.database.begin().await?;
        let due = mailbox::list_post_actions(&mut tx, account.id, DUE_LIMIT).await?;
        let of_folder = due.iter().filter(|due| due.folder == cursor.folder);
        let (current, renumbered): (Vec<_>, Vec<_>) =
            of_folder.partition(|due| due.uid_validity == cursor.uid_validity);
        // A UID of before the renumbering may now be another mail's.
        let lost: Vec<MailId> = renumbered.iter().map(|due| due.mail_id).collect();
        if !lost.is_empty() {
            mailbox::finish_post_actions(&mut tx, &lost).await?;
        }
        tx.commit().await?;
        if current.is_empty() {
            return Ok(None);
        }
        let current: Vec<Due> = current
            .into_iter()
            .map(|due| Due {
                mail_id: due.mail_id,
                uid: due.uid,
            })
            .collect();
        if let Some(refusal) = run(context, account, session, &current).await? {
            return Ok(Some(refusal));
        }
    }
}

/// Marks, moves or deletes recorded mails on the server. Returns the server's refusal, if it refuses.
pub(crate) async fn run(
    context: &Context,
    account: &Account,
    session: &mut Session,
    due: &[Due],
) -> Result<Option<ImapError>, Failure> {
    let uids: Vec<u32> = due.iter().map(|due| due.uid).collect();
    let done = match (account.after_receive, &account.move_to) {
        (AfterReceive::Keep, _) | (AfterReceive::Move, None) => Ok(()),
        (AfterReceive::MarkSeen, _) => session.mark_seen(&uids).await,
        (AfterReceive::Move, Some(folder)) => session.move_to(&uids, folder).await,
        (AfterReceive::Delete, _) => session.delete(&uids).await,
    };
    match done {
        Ok(()) => {}
        // The mail itself is received; it stays where it is until the setting is right.
        Err(error) if error.is_session_healthy() => return Ok(Some(error)),
        Err(error) => return Err(error.into()),
    }
    let mails: Vec<MailId> = due.iter().map(|due| due.mail_id).collect();
    let mut tx = context.replica.database.begin().await?;
    mailbox::finish_post_actions(&mut tx, &mails).await?;
    tx.commit().await?;
    Ok(None)
}
