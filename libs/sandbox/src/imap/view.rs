use bytes::BytesMut;

use crate::mailbox::{Folder, find_folder, find_folder_mut};
use crate::server::bytes::put;

/// A folder as one session knows it: sequence number n is `uids[n - 1]`, until an EXPUNGE tells otherwise.
pub(super) struct View {
    name: String,
    uid_validity: u32,
    uids: Vec<u32>,
    expunges_seen: u64,
    flags_seen: u64,
    pub(super) is_read_only: bool,
}

impl View {
    pub(super) fn open(folder: &Folder, is_read_only: bool) -> Self {
        Self {
            name: folder.name.clone(),
            uid_validity: folder.uid_validity,
            uids: folder.mails().iter().map(|mail| mail.uid).collect(),
            expunges_seen: folder.version,
            flags_seen: folder.version,
            is_read_only,
        }
    }

    pub(super) fn uids(&self) -> &[u32] {
        &self.uids
    }

    /// Returns the folder, unless it was renumbered meanwhile.
    pub(super) fn find<'a>(&self, folders: &'a [Folder]) -> Option<&'a Folder> {
        find_folder(folders, &self.name).filter(|folder| folder.uid_validity == self.uid_validity)
    }

    pub(super) fn find_mut<'a>(&self, folders: &'a mut [Folder]) -> Option<&'a mut Folder> {
        find_folder_mut(folders, &self.name)
            .filter(|folder| folder.uid_validity == self.uid_validity)
    }

    /// Writes what changed since the last report; constant time when nothing did.
    pub(super) fn report(&mut self, folder: &Folder, may_expunge: bool, output: &mut BytesMut) {
        if may_expunge && folder.expunged_at > self.expunges_seen {
            self.report_expunged(folder, output);
            self.expunges_seen = folder.version;
        }
        if folder.flagged_at > self.flags_seen {
            self.report_flags(folder, output);
        }
        self.flags_seen = folder.version;
        let last = self.uids.last().copied().unwrap_or(0);
        let arrived = folder.after(last);
        if !arrived.is_empty() {
            self.uids.extend(arrived.iter().map(|mail| mail.uid));
            put(output, format_args!("* {} EXISTS\r\n", self.uids.len()));
        }
    }

    fn report_expunged(&mut self, folder: &Folder, output: &mut BytesMut) {
        // Counted down from the end, each number is still right when the client applies it.
        for (place, uid) in self.uids.iter().enumerate().rev() {
            if folder.find(*uid).is_none() {
                put(output, format_args!("* {} EXPUNGE\r\n", place + 1));
            }
        }
        self.uids.retain(|uid| folder.find(*uid).is_some());
    }

    fn report_flags(&self, folder: &Folder, output: &mut BytesMut) {
        for (place, uid) in self.uids.iter().enumerate() {
            let Some(mail) = folder.find(*uid) else {
                continue;
            };
            if mail.changed_at > self.flags_seen {
                put(
                    output,
                    format_args!(
                        "* {} FETCH (UID {uid} FLAGS ({}))\r\n",
                        place + 1,
                        mail.flags
                    ),
                );
            }
        }
    }

    /// Takes the session's own flag changes as reported.
    pub(super) const fn mark_flags_seen(&mut self, folder: &Folder) {
        self.flags_seen = folder.version;
    }
}
