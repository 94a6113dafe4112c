/// Why the store refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MailStoreError {
    /// No mailbox has this address.
    #[error("unknown mailbox")]
    UnknownMailbox,
    /// The mailbox has no such folder.
    #[error("unknown folder")]
    UnknownFolder,
    /// The name is taken.
    #[error("already exists")]
    AlreadyExists,
    /// INBOX can be neither renamed nor deleted here.
    #[error("INBOX stays")]
    Inbox,
}
