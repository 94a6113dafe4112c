//! The mail of every mailbox, shared by IMAP, POP3, SMTP and the control API.
//!
//! Folders of a mailbox stand under one lock of their own, so mailboxes never wait for each other. Whoever waits for
//! news (IDLE) subscribes to the mailbox and is woken by the change itself, whichever protocol brought it.

mod counter;
mod error;
mod flag;
mod folder;
mod folder_list;
mod imap_quirks;
mod maildrop;
mod preload;
mod record;
mod submit;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use mailmesh_domain::Clock;
use time::OffsetDateTime;
use tokio::sync::watch;

pub use counter::MailCounters;
pub(crate) use counter::{Counter, Counters};
pub use error::MailStoreError;
pub use flag::Flags;
pub(crate) use folder::{Folder, Mail};
pub(crate) use folder_list::{
    create_folder, delete_folder, find_folder, find_folder_mut, rename_folder,
};
pub use imap_quirks::ImapQuirks;
pub(crate) use maildrop::{MaildropRefusal, MaildropState};
pub use maildrop::{Pop3Quirks, UidlKind};
pub use record::{FolderState, StoredMail, Submission};

/// Every mailbox starts with these; the second field is the SPECIAL-USE attribute.
const FOLDERS: [(&str, Option<&str>); 4] = [
    ("INBOX", None),
    ("Sent", Some("\\Sent")),
    ("Archive", Some("\\Archive")),
    ("Trash", Some("\\Trash")),
];

/// One mailbox: its folders, its password, and the news channel of its sessions.
pub(crate) struct Mailbox {
    pub(crate) address: Box<str>,
    password: Mutex<String>,
    folders: Mutex<Vec<Folder>>,
    news: watch::Sender<()>,
    /// Grows when live sessions must end.
    epoch: AtomicU64,
    sign_ins: AtomicU64,
    maildrop: Mutex<MaildropState>,
    imap_quirks: Mutex<ImapQuirks>,
}

impl Mailbox {
    pub(crate) fn folders(&self) -> MutexGuard<'_, Vec<Folder>> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Never locked together with the folders.
    pub(crate) fn maildrop(&self) -> MutexGuard<'_, MaildropState> {
        self.maildrop.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn imap_quirks(&self) -> ImapQuirks {
        *self
            .imap_quirks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes every session that waits for news; call it after the folder lock is gone.
    pub(crate) fn announce(&self) {
        self.news.send_replace(());
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    pub(crate) fn count_sign_in(&self) {
        self.sign_ins.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn is_password(&self, password: &str) -> bool {
        *self.password.lock().unwrap_or_else(PoisonError::into_inner) == password
    }
}

/// All mailboxes of the sandbox; clones share them.
#[derive(Clone)]
pub struct MailStore {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Arc<dyn Clock>,
    mailboxes: RwLock<HashMap<Box<str>, Arc<Mailbox>>>,
    outbox: Mutex<VecDeque<Submission>>,
    last_uid_validity: AtomicU32,
    last_submission: AtomicU64,
    is_sink: AtomicBool,
    keeps_sent_copy: AtomicBool,
    counters: Counters,
}

impl MailStore {
    /// Makes an empty store.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let now = u32::try_from(clock.now().unix_timestamp()).unwrap_or(1);
        Self {
            inner: Arc::new(Inner {
                clock,
                mailboxes: RwLock::default(),
                outbox: Mutex::default(),
                last_uid_validity: AtomicU32::new(now),
                last_submission: AtomicU64::new(0),
                is_sink: AtomicBool::new(false),
                keeps_sent_copy: AtomicBool::new(false),
                counters: Counters::default(),
            }),
        }
    }

    /// Makes a mailbox with INBOX, Sent, Archive and Trash.
    pub fn create(&self, address: &str, password: &str) -> Result<(), MailStoreError> {
        let address = address.to_ascii_lowercase().into_boxed_str();
        let folders = FOLDERS
            .iter()
            .map(|&(name, special)| Folder::new(name, special, self.next_uid_validity()))
            .collect();
        let mailbox = Mailbox {
            address: address.clone(),
            password: Mutex::new(password.to_owned()),
            folders: Mutex::new(folders),
            news: watch::Sender::new(()),
            epoch: AtomicU64::new(0),
            sign_ins: AtomicU64::new(0),
            maildrop: Mutex::default(),
            imap_quirks: Mutex::default(),
        };
        let mut mailboxes = self
            .inner
            .mailboxes
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if mailboxes.contains_key(&address) {
            return Err(MailStoreError::AlreadyExists);
        }
        mailboxes.insert(address, Arc::new(mailbox));
        Ok(())
    }

    /// Removes a mailbox with its mail and ends its sessions.
    pub fn delete(&self, address: &str) -> Result<(), MailStoreError> {
        let removed = self
            .inner
            .mailboxes
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(address.to_ascii_lowercase().as_str());
        end_sessions(&*removed.ok_or(MailStoreError::UnknownMailbox)?);
        Ok(())
    }

    /// Returns every address, sorted.
    pub fn addresses(&self) -> Vec<String> {
        let mailboxes = self
            .inner
            .mailboxes
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let mut addresses: Vec<String> = mailboxes.keys().map(ToString::to_string).collect();
        addresses.sort_unstable();
        addresses
    }

    /// Returns whether the mailbox exists and has this password.
    pub fn check_password(&self, address: &str, password: &str) -> bool {
        self.find(address)
            .is_some_and(|mailbox| mailbox.is_password(password))
    }

    /// Changes the password; live sessions stay.
    pub fn set_password(&self, address: &str, password: &str) -> Result<(), MailStoreError> {
        let mailbox = self.load(address)?;
        password.clone_into(
            &mut *mailbox
                .password
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        Ok(())
    }

    /// Puts a mail into INBOX and wakes whoever watches it; returns its UID.
    pub fn deliver(&self, address: &str, raw: Bytes) -> Result<u32, MailStoreError> {
        let uid = self.append(address, "INBOX", raw, Flags::default())?;
        self.inner.counters.delivered.increase();
        Ok(uid)
    }

    /// Puts a mail into any folder; returns its UID.
    pub fn append(
        &self,
        address: &str,
        folder: &str,
        raw: Bytes,
        flags: Flags,
    ) -> Result<u32, MailStoreError> {
        let now = self.now();
        self.change(address, folder, |folder| folder.append(raw, flags, now))
    }

    /// Returns the mails of a folder by UID.
    pub fn list(&self, address: &str, folder: &str) -> Result<Vec<StoredMail>, MailStoreError> {
        let mailbox = self.load(address)?;
        let folders = mailbox.folders();
        let folder = find_folder(&folders, folder).ok_or(MailStoreError::UnknownFolder)?;
        Ok(folder.mails().iter().map(StoredMail::from).collect())
    }

    /// Returns the state of every folder.
    pub fn folders(&self, address: &str) -> Result<Vec<FolderState>, MailStoreError> {
        let mailbox = self.load(address)?;
        Ok(mailbox.folders().iter().map(FolderState::from).collect())
    }

    /// Adds an empty folder, as a human with another client would.
    pub fn create_folder(&self, address: &str, name: &str) -> Result<(), MailStoreError> {
        let uid_validity = self.next_uid_validity();
        self.change_list(address, |folders| {
            create_folder(folders, name, uid_validity)
        })
    }

    /// Renames a folder with its mails, UIDs and UIDVALIDITY; sessions that have it selected end.
    pub fn rename_folder(
        &self,
        address: &str,
        name: &str,
        new_name: &str,
    ) -> Result<(), MailStoreError> {
        self.change_list(address, |folders| rename_folder(folders, name, new_name))
    }

    /// Removes a folder with its mails; sessions that have it selected end.
    pub fn delete_folder(&self, address: &str, name: &str) -> Result<(), MailStoreError> {
        self.change_list(address, |folders| delete_folder(folders, name))
    }

    /// Removes a mail, as a human with another client would.
    pub fn remove(&self, address: &str, folder: &str, uid: u32) -> Result<bool, MailStoreError> {
        self.change(address, folder, |folder| {
            folder.remove(|mail| mail.uid == uid) > 0
        })
    }

    /// Puts another mail in the place of one, as where a mailbox was restored from a backup and went on from there; returns
    /// whether there was one.
    pub fn replace(
        &self,
        address: &str,
        folder: &str,
        uid: u32,
        raw: Bytes,
    ) -> Result<bool, MailStoreError> {
        self.change(address, folder, |folder| folder.replace(uid, raw))
    }

    /// Replaces a mail's flags, as a human with another client would; returns whether it was there.
    pub fn set_flags(
        &self,
        address: &str,
        folder: &str,
        uid: u32,
        flags: &Flags,
    ) -> Result<bool, MailStoreError> {
        self.change(address, folder, |folder| {
            folder
                .change_flags(uid, |old| old.clone_from(flags))
                .is_some()
        })
    }

    /// Gives a folder a new UIDVALIDITY and numbers its mails from 1; returns the new value.
    pub fn reset_uid_validity(&self, address: &str, folder: &str) -> Result<u32, MailStoreError> {
        let uid_validity = self.next_uid_validity();
        self.change(address, folder, |folder| folder.renumber(uid_validity))?;
        Ok(uid_validity)
    }

    /// Goes back to a UID under the same UIDVALIDITY, as a server does that was restored from a backup: mails from it on are
    /// gone, and it is given again.
    pub fn rewind(&self, address: &str, folder: &str, uid_next: u32) -> Result<(), MailStoreError> {
        self.change(address, folder, |folder| folder.rewind(uid_next))
    }

    /// Changes how the mailbox deviates when it is read over POP3; live sessions keep what they began with.
    pub fn set_pop3_quirks(&self, address: &str, quirks: Pop3Quirks) -> Result<(), MailStoreError> {
        self.load(address)?.maildrop().quirks = Arc::new(quirks);
        Ok(())
    }

    /// Changes how the mailbox deviates when it is read over IMAP, in live sessions too.
    pub fn set_imap_quirks(&self, address: &str, quirks: ImapQuirks) -> Result<(), MailStoreError> {
        let mailbox = self.load(address)?;
        *mailbox
            .imap_quirks
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = quirks;
        Ok(())
    }

    /// Unlocks the maildrop though its session is still open, as a server does that takes a silent client for gone.
    pub fn unlock_maildrop(&self, address: &str) -> Result<(), MailStoreError> {
        let now = self.now();
        self.load(address)?.maildrop().unlock(now, true);
        Ok(())
    }

    /// Returns how the mailbox deviates when it is read over POP3.
    pub fn pop3_quirks(&self, address: &str) -> Result<Pop3Quirks, MailStoreError> {
        let quirks = Arc::clone(&self.load(address)?.maildrop().quirks);
        Ok(Pop3Quirks::clone(&quirks))
    }

    /// Ends the mailbox's live IMAP and POP3 sessions, as Exchange does when their token expires.
    pub fn expire_sessions(&self, address: &str) -> Result<(), MailStoreError> {
        end_sessions(&*self.load(address)?);
        Ok(())
    }

    /// Returns how often the mailbox was signed in to, over any protocol.
    pub fn sign_ins(&self, address: &str) -> Result<u64, MailStoreError> {
        Ok(self.load(address)?.sign_ins.load(Ordering::Relaxed))
    }

    /// Returns what was counted so far.
    pub fn counters(&self) -> MailCounters {
        self.inner.counters.read()
    }

    pub(crate) fn count(&self) -> &Counters {
        &self.inner.counters
    }

    pub(crate) fn now(&self) -> OffsetDateTime {
        self.inner.clock.now()
    }

    pub(crate) fn find(&self, address: &str) -> Option<Arc<Mailbox>> {
        let mailboxes = self
            .inner
            .mailboxes
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let found = mailboxes.get(address);
        if found.is_some() || !address.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return found.cloned();
        }
        mailboxes
            .get(address.to_ascii_lowercase().as_str())
            .cloned()
    }

    pub(crate) fn next_uid_validity(&self) -> u32 {
        self.inner.last_uid_validity.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn load(&self, address: &str) -> Result<Arc<Mailbox>, MailStoreError> {
        self.find(address).ok_or(MailStoreError::UnknownMailbox)
    }

    fn change_list(
        &self,
        address: &str,
        change: impl FnOnce(&mut Vec<Folder>) -> Result<(), MailStoreError>,
    ) -> Result<(), MailStoreError> {
        let mailbox = self.load(address)?;
        change(&mut mailbox.folders())?;
        mailbox.announce();
        Ok(())
    }

    fn change<Answer>(
        &self,
        address: &str,
        folder: &str,
        change: impl FnOnce(&mut Folder) -> Answer,
    ) -> Result<Answer, MailStoreError> {
        let mailbox = self.load(address)?;
        let answer = find_folder_mut(&mut mailbox.folders(), folder)
            .map(change)
            .ok_or(MailStoreError::UnknownFolder)?;
        mailbox.announce();
        Ok(answer)
    }
}

fn end_sessions(mailbox: &Mailbox) {
    mailbox.epoch.fetch_add(1, Ordering::AcqRel);
    mailbox.announce();
}

impl fmt::Debug for MailStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("MailStore")
            .field("counters", &self.counters())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Mailbox").finish_non_exhaustive()
    }
}
