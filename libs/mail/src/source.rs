//! The interface through which mail is read. Services know a [`MailSource`] and no protocol.
//!
//! Within one session mails are identified by an **ordinal**, which ascends in the order in which they are received:
//! IMAP's UID; for protocols without one, a number that the session assigns above the one it was called with. What
//! outlives the session is the [`Position`], from which [`MailSource::locate`] finds the ordinal again.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, ready};
use mailmesh_domain::{Epoch, Position};
use time::OffsetDateTime;
use tokio::sync::mpsc;

use crate::source_error::SourceError;

/// How a source finds out what is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListingKind {
    /// It lists what lies after an ordinal, so that one cursor says what was received.
    AfterOrdinal,
    /// It lists the whole mailbox each time, so that the caller keeps the set of what it has seen.
    Whole,
}

/// Whether a folder is opened for changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FolderAccess {
    /// Nothing can be changed, not even by accident.
    Read,
    /// Mails can be marked, moved and deleted.
    Change,
}

/// A folder as it was when it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedFolder {
    /// Positions and ordinals of an earlier opening hold only under the same epoch.
    pub epoch: Epoch,
    /// The highest ordinal in use, if the server says so. A mail that comes later has a higher one.
    pub last_ordinal: Option<u64>,
}

/// A mail as a session lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedMail {
    /// Its number in this session.
    pub ordinal: u64,
    /// Identifies it beyond this session.
    pub position: Position,
    /// Its size in bytes, if the listing says so; not to be trusted.
    pub bytes: Option<u64>,
}

/// Returns whether a mail of this announced size may have ended after so many bytes, where nothing more came when it was asked
/// for as a whole. Exchange estimates sizes and says by how much nowhere; an eighth is our choice between that and a mail that was
/// cut.
pub(crate) const fn is_near(announced: u64, read: u64) -> bool {
    announced.saturating_sub(read) <= announced / 8 + 16
}

/// The mail with the highest ordinal up to some other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HighestMail {
    pub ordinal: u64,
    /// When the server received it, as far as it says.
    pub received_at: Option<OffsetDateTime>,
}

/// A mail, or its first slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedMail {
    /// Its number in this session.
    pub ordinal: u64,
    /// What the server claims as its size; an estimate at Exchange.
    pub bytes: Option<u64>,
    /// When the server received it, as far as it says.
    pub received_at: Option<OffsetDateTime>,
    /// Its flags, up to a hundred.
    pub flags: Vec<String>,
    /// The raw mail from its first byte.
    pub body: Bytes,
    /// The body is the whole mail; if not, go on with [`MailSource::fetch_slice`].
    pub is_complete: bool,
}

/// Which of the mails that were asked for did not come. A source may also end early after a mail that is not complete:
/// what it named neither here nor handed over is asked for again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FetchReport {
    /// The server does not have them any more, confirmed by a second question.
    pub missing: Vec<u64>,
    /// The server has them, and what it sent of them could not be read. Asked for one by one, the good among them come.
    pub unreadable: Vec<u64>,
}

/// How long a source may wait for a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitLimits {
    /// Where the server pushes changes.
    pub push: Duration,
    /// Where it has to be asked.
    pub poll: Duration,
}

/// What is done with a received mail on the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PostAction {
    /// Marked as read.
    MarkSeen,
    /// Moved to a folder.
    MoveTo(String),
    /// Deleted for good.
    Delete,
}

/// When a post-action takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostActionEffect {
    /// It is done.
    Now,
    /// The server does it once the session has ended well; a later listing shows whether it did.
    AtClose,
}

/// How a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Farewell {
    /// Everything that was fetched is durable: the server may act on it.
    Confirm,
    /// Something fetched was not published and recorded: the server must not count it as taken.
    Abandon,
}

/// A signed-in session that reads a mailbox. Usable between complete calls: one that was dropped half-way leaves it
/// closed for good.
pub trait MailSource: fmt::Debug + Send {
    /// Returns how the source finds out what is new.
    fn listing(&self) -> ListingKind;

    /// Returns whether the session is kept while nothing happens. If not, close it after each look: it keeps others out.
    fn stays_open(&self) -> bool;

    /// Returns whether the server lists no mail again that was fetched in a session which ended well: what it lists was
    /// not taken.
    fn hides_fetched(&self) -> bool {
        false
    }

    /// Returns the minimum time between two sign-ins, if the server announces one.
    fn sign_in_pause(&self) -> Option<Duration> {
        None
    }

    /// Returns whether the session can take another call.
    fn is_usable(&self) -> bool;

    /// Opens a folder, and closes the one that was open, also on failure.
    fn open<'a>(
        &'a mut self,
        folder: &'a str,
        access: FolderAccess,
    ) -> BoxFuture<'a, Result<OpenedFolder, SourceError>>;

    /// Takes positions of the open folder for those of `epoch`, of which the server told the same and in which its numbering
    /// has gone back: it does not say so itself.
    fn resume(&mut self, _epoch: &Epoch) {}

    /// Lists mails of the open folder above `ordinal`, ascending: all of them, or the lowest ten thousand; an empty
    /// answer means that there are no more. A source that lists the whole mailbox numbers it from `ordinal` + 1 on.
    fn list_after(&mut self, ordinal: u64) -> BoxFuture<'_, Result<Vec<ListedMail>, SourceError>>;

    /// Returns whether more mails came before the last listing than it lists: the numbering went back.
    fn has_unlisted(&self) -> bool {
        false
    }

    /// Returns the mail of the open folder with the highest ordinal up to this one. Sources whose numbers hold for one
    /// session find none.
    fn highest_up_to(
        &mut self,
        _ordinal: u64,
    ) -> BoxFuture<'_, Result<Option<HighestMail>, SourceError>> {
        Box::pin(ready(Ok(None)))
    }

    /// Returns the claimed sizes; mails without one are left out.
    fn sizes<'a>(
        &'a mut self,
        ordinals: &'a [u64],
    ) -> BoxFuture<'a, Result<BTreeMap<u64, u64>, SourceError>>;

    /// Fetches mails and hands each over as it arrives; waits while `mails` is full. Memory is bounded by one slice
    /// here and what the channel holds. Mails handed over are whole and good even if the fetch fails later.
    fn fetch<'a>(
        &'a mut self,
        ordinals: &'a [u64],
        slice_bytes: u32,
        mails: &'a mpsc::Sender<FetchedMail>,
    ) -> BoxFuture<'a, Result<FetchReport, SourceError>>;

    /// Fetches up to `bytes` of one mail from `offset` on. None prove that it ends there; fewer do so if its announced size
    /// is reached, as there are servers that answer with no more than they like. A mail that ends well before that is an
    /// error, once it was asked for in each way there is. Slices are asked for in ascending order; a
    /// source that can only read from the beginning passes over what lies before.
    fn fetch_slice(
        &mut self,
        ordinal: u64,
        offset: u64,
        bytes: u32,
    ) -> BoxFuture<'_, Result<Bytes, SourceError>>;

    /// Waits until the folder may have changed, the time is up, or `wake` is ready. Returns at once if something
    /// changed since the last look. Never called where the session is not kept.
    fn wait<'a>(
        &'a mut self,
        limits: WaitLimits,
        wake: BoxFuture<'a, ()>,
    ) -> BoxFuture<'a, Result<(), SourceError>>;

    /// Asks for changes from now on, where the server could push them.
    fn avoid_push(&mut self) {}

    /// Returns the ordinal of a stored position in the open folder; `None` if it means nothing there, or its mail is
    /// known to be gone.
    fn locate(&self, position: &Position) -> Option<u64>;

    /// Does what is to be done with received mails; those that are gone are passed over.
    fn apply<'a>(
        &'a mut self,
        ordinals: &'a [u64],
        action: &'a PostAction,
    ) -> BoxFuture<'a, Result<PostActionEffect, SourceError>>;

    /// Opens the folder of sent mail for reading; `false` if there is none, or none that can be searched.
    fn open_sent(&mut self) -> BoxFuture<'_, Result<bool, SourceError>>;

    /// Returns whether the open folder has a mail with this Message-ID.
    fn contains_message_id<'a>(
        &'a mut self,
        message_id: &'a str,
    ) -> BoxFuture<'a, Result<bool, SourceError>>;

    /// Ends the session; failures are ignored, as the next session shows what the server did.
    fn close(self: Box<Self>, farewell: Farewell) -> BoxFuture<'static, ()>;
}
