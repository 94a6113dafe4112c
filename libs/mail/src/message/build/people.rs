use super::super::address::{Envelope, Mailbox, canonical_address};
use super::super::draft::{BuildContext, BuildError, Draft, FieldProblem};
use super::check::{MAX_NAME, check_length, check_plain};

/// The draft's addresses, checked.
pub(super) struct People {
    pub(super) from: Mailbox,
    pub(super) sender: Option<Mailbox>,
    pub(super) reply_to: Vec<Mailbox>,
    pub(super) to: Vec<Mailbox>,
    pub(super) cc: Vec<Mailbox>,
    bcc: Vec<Mailbox>,
}

impl People {
    pub(super) fn check(draft: &Draft, context: &BuildContext) -> Result<Self, BuildError> {
        let from = draft
            .from
            .as_ref()
            .or(context.default_from.as_ref())
            .ok_or_else(|| BuildError::new("from", FieldProblem::Missing))?;
        let people = Self {
            from: check_mailbox("from", from)?,
            sender: draft
                .sender
                .as_ref()
                .map(|sender| check_mailbox("sender", sender))
                .transpose()?,
            reply_to: check_mailboxes("reply_to", &draft.reply_to)?,
            to: check_mailboxes("to", &draft.to)?,
            cc: check_mailboxes("cc", &draft.cc)?,
            bcc: check_mailboxes("bcc", &draft.bcc)?,
        };
        let count = people.recipients().count();
        let limit = context.limits.max_recipients;
        if count == 0 {
            return Err(BuildError::new("to", FieldProblem::NoRecipients));
        }
        if count > limit || people.reply_to.len() > limit {
            return Err(BuildError::new("to", FieldProblem::TooMany { limit }));
        }
        Ok(people)
    }

    fn recipients(&self) -> impl Iterator<Item = &Mailbox> {
        self.to.iter().chain(&self.cc).chain(&self.bcc)
    }

    /// One RCPT for each address, however often it is named.
    pub(super) fn envelope(&self) -> Envelope {
        let mut recipients: Vec<String> = Vec::new();
        for mailbox in self.recipients() {
            if !recipients.contains(&mailbox.address) {
                recipients.push(mailbox.address.clone());
            }
        }
        let from = self.sender.as_ref().unwrap_or(&self.from).address.clone();
        Envelope::from_canonical(from, recipients)
    }
}

fn check_mailboxes(path: &str, mailboxes: &[Mailbox]) -> Result<Vec<Mailbox>, BuildError> {
    mailboxes
        .iter()
        .enumerate()
        .map(|(index, mailbox)| check_mailbox(&format!("{path}[{index}]"), mailbox))
        .collect()
}

fn check_mailbox(path: &str, mailbox: &Mailbox) -> Result<Mailbox, BuildError> {
    let Some(name) = &mailbox.name else {
        let parsed =
            Mailbox::parse(&mailbox.address).map_err(|problem| BuildError::new(path, problem))?;
        check_length(
            &format!("{path}.name"),
            parsed.name.as_deref().unwrap_or_default(),
            MAX_NAME,
        )?;
        return Ok(parsed);
    };
    let name_path = format!("{path}.name");
    check_plain(&name_path, name)?;
    check_length(&name_path, name, MAX_NAME)?;
    Ok(Mailbox {
        name: Some(name.clone()),
        address: canonical_address(mailbox.address.trim())
            .map_err(|problem| BuildError::new(path, problem))?,
    })
}
