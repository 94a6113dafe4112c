use mailmesh_mail::source::{FolderAccess, OpenedFolder};
use mailmesh_mail::{MailSource, SourceError};

use crate::account_context::AccountContext;

/// A folder of an account that is open in a session.
#[derive(Debug)]
pub(crate) struct OpenFolder<'a> {
    pub(crate) owner: &'a AccountContext,
    pub(crate) source: &'a mut dyn MailSource,
    pub(crate) name: &'a str,
}

impl OpenFolder<'_> {
    /// Opens it, for changes only if the account wants any.
    pub(crate) async fn open(&mut self) -> Result<OpenedFolder, SourceError> {
        let access = if self.owner.opens_for_changes() {
            FolderAccess::Change
        } else {
            FolderAccess::Read
        };
        self.source.open(self.name, access).await
    }
}
