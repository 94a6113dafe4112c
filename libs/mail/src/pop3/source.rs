use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, ready};
use mailmesh_domain::{Epoch, Position};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::capability::Capabilities;
use super::connect::connect;
use super::error::Pop3Error;
use super::limit::Pop3Limits;
use super::session::Session;
use crate::source::{
    Farewell, FetchReport, FetchedMail, FolderAccess, ListedMail, ListingKind, OpenedFolder,
    PostAction, PostActionEffect, WaitLimits,
};
use crate::{Credentials, MailSource, Server, SourceError};

/// A mailbox read by POP3.
///
/// The server locks it for as long as the session lasts, so nothing that comes meanwhile is seen. Positions are located
/// only after the mailbox was listed.
#[derive(Debug)]
pub struct Pop3Source {
    session: Session,
    is_recent_mode: bool,
}

/// Gmail shows the mails of the last 30 days to who signs in so, taken or not.
const RECENT_MODE: &str = "recent:";

impl Pop3Source {
    /// Connects, protects the connection, and signs in.
    pub fn connect<'a>(
        server: &'a Server,
        credentials: &'a Credentials,
        limits: Pop3Limits,
    ) -> BoxFuture<'a, Result<Self, Pop3Error>> {
        Box::pin(async move {
            let (wire, offered) = connect(server, credentials, &limits).await?;
            Ok(Self {
                session: Session::new(wire, offered, limits),
                is_recent_mode: credentials
                    .login()
                    .is_some_and(|login| login.starts_with(RECENT_MODE)),
            })
        })
    }

    /// Returns what the server says it can do, such as how long to wait before the next sign-in.
    pub const fn capabilities(&self) -> &Capabilities {
        self.session.capabilities()
    }
}

impl MailSource for Pop3Source {
    fn listing(&self) -> ListingKind {
        ListingKind::Whole
    }

    fn stays_open(&self) -> bool {
        false
    }

    fn hides_fetched(&self) -> bool {
        self.capabilities().is_gmail() && !self.is_recent_mode
    }

    fn sign_in_pause(&self) -> Option<Duration> {
        self.capabilities().login_delay()
    }

    fn is_usable(&self) -> bool {
        self.session.is_ready()
    }

    fn open<'a>(
        &'a mut self,
        folder: &'a str,
        access: FolderAccess,
    ) -> BoxFuture<'a, Result<OpenedFolder, SourceError>> {
        Box::pin(async move {
            if !folder.eq_ignore_ascii_case("INBOX") {
                return Err(Pop3Error::NoSuchFolder.into());
            }
            self.session.open(access).await?;
            Ok(OpenedFolder {
                epoch: Epoch::endless(),
                last_ordinal: None,
            })
        })
    }

    fn list_after(&mut self, ordinal: u64) -> BoxFuture<'_, Result<Vec<ListedMail>, SourceError>> {
        Box::pin(async move {
            let numbering = self.session.list(ordinal).await?;
            Ok(numbering.page(ordinal))
        })
    }

    fn sizes<'a>(
        &'a mut self,
        ordinals: &'a [u64],
    ) -> BoxFuture<'a, Result<BTreeMap<u64, u64>, SourceError>> {
        let numbering = self.session.numbering();
        let size = |ordinal: &u64| Some((*ordinal, numbering?.entry(*ordinal)?.bytes?));
        Box::pin(ready(Ok(ordinals.iter().filter_map(size).collect())))
    }

    fn fetch<'a>(
        &'a mut self,
        ordinals: &'a [u64],
        slice_bytes: u32,
        mails: &'a mpsc::Sender<FetchedMail>,
    ) -> BoxFuture<'a, Result<FetchReport, SourceError>> {
        Box::pin(async move { Ok(self.session.fetch(ordinals, slice_bytes, mails).await?) })
    }

    fn fetch_slice(
        &mut self,
        ordinal: u64,
        offset: u64,
        bytes: u32,
    ) -> BoxFuture<'_, Result<Bytes, SourceError>> {
        Box::pin(async move {
            let slice = self.session.fetch_slice(ordinal, offset, bytes).await?;
            Ok(slice.into())
        })
    }

    fn wait<'a>(
        &'a mut self,
        limits: WaitLimits,
        wake: BoxFuture<'a, ()>,
    ) -> BoxFuture<'a, Result<(), SourceError>> {
        Box::pin(async move {
            tokio::select! {
                () = sleep(limits.poll) => {}
                () = wake => {}
            }
            Ok(())
        })
    }

    fn locate(&self, position: &Position) -> Option<u64> {
        self.session.numbering()?.locate(position)
    }

    fn apply<'a>(
        &'a mut self,
        ordinals: &'a [u64],
        action: &'a PostAction,
    ) -> BoxFuture<'a, Result<PostActionEffect, SourceError>> {
        Box::pin(async move {
            let action = match action {
                PostAction::Delete => {
                    self.session.delete(ordinals).await?;
                    return Ok(PostActionEffect::AtClose);
                }
                PostAction::MarkSeen => "mark mails as read",
                PostAction::MoveTo(_) => "move mails",
            };
            Err(Pop3Error::Unsupported { action }.into())
        })
    }

    fn open_sent(&mut self) -> BoxFuture<'_, Result<bool, SourceError>> {
        Box::pin(ready(Ok(false)))
    }

    fn contains_message_id<'a>(
        &'a mut self,
        _message_id: &'a str,
    ) -> BoxFuture<'a, Result<bool, SourceError>> {
        let action = "search for mails";
        Box::pin(ready(Err(Pop3Error::Unsupported { action }.into())))
    }

    fn close(self: Box<Self>, farewell: Farewell) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            match farewell {
                Farewell::Confirm => self.session.quit().await,
                // Gmail hides what was fetched, and every server deletes what was marked, once the session has ended
                // with QUIT; a connection that only breaks off undoes both (RFC 1939 §6).
                Farewell::Abandon => drop(self.session),
            }
        })
    }
}
