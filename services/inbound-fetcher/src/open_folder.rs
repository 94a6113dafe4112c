use mailmesh_mail::MailSource;

use crate::account_context::AccountContext;

/// A folder of an account that is open in a session.
#[derive(Debug)]
pub(crate) struct OpenFolder<'a> {
    pub(crate) owner: &'a AccountContext,
    pub(crate) source: &'a mut dyn MailSource,
    pub(crate) name: &'a str,
}
