use std::collections::HashSet;

use super::super::address::{Envelope, NamedAddress, canonical_address};
use super::super::draft::{BuildContext, BuildError, Draft, FieldProblem};
use super::super::quoted::unescape;
use super::check::{check_length, check_plain, with_plain_spaces};

/// The same as of any value of a header; a name is folded as encoded words.
const MAX_DISPLAY_NAME: usize = 8_192;

/// The draft's addresses, checked.
pub(super) struct DraftAddresses {
    pub(super) from: NamedAddress,
    pub(super) sender: Option<NamedAddress>,
    pub(super) reply_to: Vec<NamedAddress>,
    pub(super) to: Vec<NamedAddress>,
    pub(super) cc: Vec<NamedAddress>,
    bcc: Vec<NamedAddress>,
}

impl DraftAddresses {
    pub(super) fn check(draft: &Draft, context: &BuildContext) -> Result<Self, BuildError> {
        let limit = context.limits.max_recipients;
        let from = draft
            .from
            .as_ref()
            .or(context.default_from.as_ref())
            .ok_or_else(|| BuildError::new("from", FieldProblem::Missing))?;
        let people = Self {
            from: from.check("from")?,
            sender: draft
                .sender
                .as_ref()
                .map(|sender| sender.check("sender"))
                .transpose()?,
            reply_to: check_mailboxes("reply_to", &draft.reply_to, limit)?,
            to: check_mailboxes("to", &draft.to, limit)?,
            cc: check_mailboxes("cc", &draft.cc, limit)?,
            bcc: check_mailboxes("bcc", &draft.bcc, limit)?,
        };
        let count = people.recipients().count();
        if count == 0 {
            return Err(BuildError::new("to", FieldProblem::NoRecipients));
        }
        if count > limit {
            return Err(BuildError::new("to", FieldProblem::TooMany { limit }));
        }
        Ok(people)
    }

    fn recipients(&self) -> impl Iterator<Item = &NamedAddress> {
        self.to.iter().chain(&self.cc).chain(&self.bcc)
    }

    /// One RCPT for each address, however often it is named.
    pub(super) fn envelope(&self) -> Envelope {
        let mut seen = HashSet::new();
        let named = self.recipients().map(|mailbox| &mailbox.address);
        let recipients = named.filter(|address| seen.insert(compared(address)));
        let from = self.sender.as_ref().unwrap_or(&self.from).address.clone();
        Envelope::from_canonical(from, recipients.cloned().collect())
    }
}

/// Returns what two spellings of one address share: quotes mean nothing (RFC 5321 §4.1.2), nor does case in a domain. Whether it
/// does in a local part only the host knows that the mail is for (§2.4).
fn compared(address: &str) -> String {
    let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
    let quoted = local
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let unquoted = quoted.and_then(unescape);
    let local = unquoted.as_deref().unwrap_or(local);
    format!("{local}@{}", domain.to_ascii_lowercase())
}

fn check_mailboxes(
    path: &str,
    mailboxes: &[NamedAddress],
    limit: usize,
) -> Result<Vec<NamedAddress>, BuildError> {
    if mailboxes.len() > limit {
        return Err(BuildError::new(path, FieldProblem::TooMany { limit }));
    }
    let each = mailboxes.iter().enumerate();
    each.map(|(index, mailbox)| mailbox.check(&format!("{path}[{index}]")))
        .collect()
}

impl NamedAddress {
    /// Returns the mailbox as it stands in a mail, or what forbids it. Without a name the address may hold one
    /// (`Name <a@b.c>`).
    pub fn check(&self, path: &str) -> Result<Self, BuildError> {
        let unreadable = |problem| BuildError::new(path, problem);
        let name_path = format!("{path}.name");
        let Some(name) = &self.name else {
            let parsed = Self::parse(&self.address).map_err(unreadable)?;
            let name = parsed.name.as_deref().unwrap_or_default();
            check_length(&name_path, name, MAX_DISPLAY_NAME)?;
            return Ok(parsed);
        };
        let name = with_plain_spaces(name);
        check_plain(&name_path, &name)?;
        check_length(&name_path, &name, MAX_DISPLAY_NAME)?;
        Ok(Self {
            name: Some(name.into_owned()),
            address: canonical_address(self.address.trim()).map_err(unreadable)?,
        })
    }
}
