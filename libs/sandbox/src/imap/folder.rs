use std::fmt::Write as _;
use std::sync::Arc;

use super::answer::{CommandAnswer, CommandProblem};
use super::parse::Parser;
use super::{Session, View};
use crate::mailbox::{Flags, Folder, MailStoreError, Mailbox, find_folder};
use crate::server::wire::{ConnectionEnd, Wire};
use crate::settings::Personality;

const FLAGS: &str = "\\Answered \\Flagged \\Deleted \\Seen \\Draft";

impl Session {
    /// Returns what a command on the selected folder works with.
    pub(super) fn selected(
        &mut self,
    ) -> Result<(Arc<Mailbox>, &mut View, &mut Wire), CommandProblem> {
        match (&self.account, &mut self.view, &mut self.wire) {
            (Some(account), Some(view), Some(wire)) => {
                Ok((Arc::clone(&account.mailbox), view, wire))
            }
            _ => Err(CommandProblem::NotSelected),
        }
    }

    pub(super) fn mailbox(&self) -> Result<Arc<Mailbox>, ConnectionEnd> {
        let account = self.account.as_ref().ok_or(ConnectionEnd::Broken)?;
        Ok(Arc::clone(&account.mailbox))
    }

    pub(super) fn list(
        &mut self,
        name: &str,
        parser: &mut Parser,
    ) -> Result<CommandAnswer, CommandProblem> {
        let mut is_special_only = false;
        if parser.take(b'(') {
            while !parser.take(b')') {
                is_special_only |= parser.word()? == "SPECIAL-USE";
            }
        }
        let pattern = parser.string()? + &parser.pattern()?;
        let mailbox = self.mailbox()?;
        let shows_special = self.site.personality != Personality::Microsoft;
        let wire = self.wire()?;
        if pattern.is_empty() {
            wire.say(format_args!("* {name} (\\Noselect) \"/\" \"\"\r\n"));
            return Ok(CommandAnswer::Done);
        }
        for folder in mailbox.folders().iter() {
            let special = folder.special_use.filter(|_| shows_special);
            if !matches_pattern(&pattern, &folder.name) || (is_special_only && special.is_none()) {
                continue;
            }
            let separator = if special.is_some() { " " } else { "" };
            wire.say(format_args!(
                "* {name} (\\HasNoChildren{separator}{}) \"/\" {}\r\n",
                special.unwrap_or_default(),
                Quoted(&folder.name)
            ));
        }
        Ok(CommandAnswer::Done)
    }

    pub(super) fn status(&mut self, parser: &mut Parser) -> Result<CommandAnswer, CommandProblem> {
        let name = parser.string()?;
        parser.expect(b'(')?;
        let mut items = Vec::new();
        while !parser.take(b')') {
            items.push(parser.word()?);
        }
        let mailbox = self.mailbox()?;
        let folders = mailbox.folders();
        let Some(folder) = find_folder(&folders, &name) else {
            return Ok(CommandAnswer::No("[NONEXISTENT] Unknown mailbox".into()));
        };
        let mut values = String::new();
        for item in items {
            let value = status_value(folder, &item).ok_or(CommandProblem::Malformed)?;
            let separator = if values.is_empty() { "" } else { " " };
            // Writing into a String cannot fail.
            write!(values, "{separator}{item} {value}").ok();
        }
        self.wire()?
            .say(format_args!("* STATUS {} ({values})\r\n", Quoted(&name)));
        Ok(CommandAnswer::Done)
    }

    pub(super) fn create(&mut self, parser: &mut Parser) -> Result<CommandAnswer, CommandProblem> {
        let name = parser.string()?;
        let mailbox = self.mailbox()?;
        let created = self.site.store.create_folder(&mailbox.address, &name);
        Ok(answer_change(created))
    }

    pub(super) fn rename(&mut self, parser: &mut Parser) -> Result<CommandAnswer, CommandProblem> {
        let (name, new_name) = (parser.string()?, parser.string()?);
        let mailbox = self.mailbox()?;
        let store = &self.site.store;
        let renamed = store.rename_folder(&mailbox.address, &name, &new_name);
        Ok(answer_change(renamed))
    }

    pub(super) fn delete(&mut self, parser: &mut Parser) -> Result<CommandAnswer, CommandProblem> {
        let name = parser.string()?;
        let mailbox = self.mailbox()?;
        let deleted = self.site.store.delete_folder(&mailbox.address, &name);
        Ok(answer_change(deleted))
    }

    pub(super) fn select(
        &mut self,
        parser: &mut Parser,
        is_read_only: bool,
    ) -> Result<CommandAnswer, CommandProblem> {
        let name = parser.string()?;
        self.view = None;
        let mailbox = self.mailbox()?;
        let folders = mailbox.folders();
        let Some(folder) = find_folder(&folders, &name) else {
            return Ok(CommandAnswer::No("[NONEXISTENT] Unknown mailbox".into()));
        };
        let count = folder.mails().len();
        let (validity, next) = (folder.uid_validity, folder.uid_next);
        let wire = self.wire()?;
        wire.say(format_args!(
            "* FLAGS ({FLAGS})\r\n* OK [PERMANENTFLAGS ({FLAGS} \\*)] Flags\r\n\
             * {count} EXISTS\r\n* 0 RECENT\r\n\
             * OK [UIDVALIDITY {validity}] UIDs valid\r\n* OK [UIDNEXT {next}] Next UID\r\n"
        ));
        let unseen = folder
            .mails()
            .iter()
            .position(|mail| !mail.flags.has(Flags::SEEN));
        if let Some(place) = unseen {
            wire.say(format_args!("* OK [UNSEEN {}] First unseen\r\n", place + 1));
        }
        self.view = Some(View::open(folder, is_read_only));
        Ok(CommandAnswer::Ok(if is_read_only {
            "[READ-ONLY] EXAMINE completed".into()
        } else {
            "[READ-WRITE] SELECT completed".into()
        }))
    }

    pub(super) fn close(&mut self, expunges: bool) -> Result<CommandAnswer, CommandProblem> {
        let (mailbox, view, _) = self.selected()?;
        if expunges && !view.is_read_only {
            let mut folders = mailbox.folders();
            let removed = view
                .find_mut(&mut folders)
                .map(|folder| folder.remove(|mail| mail.flags.has(Flags::DELETED)));
            drop(folders);
            if removed.is_some_and(|count| count > 0) {
                mailbox.announce();
            }
        }
        self.view = None;
        Ok(CommandAnswer::Done)
    }
}

fn answer_change(changed: Result<(), MailStoreError>) -> CommandAnswer {
    match changed {
        Ok(()) => CommandAnswer::Done,
        Err(MailStoreError::AlreadyExists) => {
            CommandAnswer::No("[ALREADYEXISTS] Mailbox exists".into())
        }
        Err(MailStoreError::Inbox) => CommandAnswer::No("[CANNOT] INBOX stays".into()),
        Err(MailStoreError::UnknownFolder | MailStoreError::UnknownMailbox) => {
            CommandAnswer::No("[NONEXISTENT] Unknown mailbox".into())
        }
    }
}

fn status_value(folder: &Folder, item: &str) -> Option<usize> {
    let number = |value: u32| usize::try_from(value).unwrap_or(usize::MAX);
    Some(match item {
        "MESSAGES" => folder.mails().len(),
        "RECENT" => 0,
        "UIDNEXT" => number(folder.uid_next),
        "UIDVALIDITY" => number(folder.uid_validity),
        "UNSEEN" => folder.count_unseen(),
        _ => return None,
    })
}

/// Writes a name between quotes.
struct Quoted<'a>(&'a str);

impl std::fmt::Display for Quoted<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_char('"')?;
        for letter in self.0.chars() {
            if matches!(letter, '"' | '\\') {
                formatter.write_char('\\')?;
            }
            formatter.write_char(letter)?;
        }
        formatter.write_char('"')
    }
}

fn matches_pattern(pattern: &str, name: &str) -> bool {
    if name == "INBOX" {
        return matches_bytes(pattern.to_ascii_uppercase().as_bytes(), name.as_bytes());
    }
    matches_bytes(pattern.as_bytes(), name.as_bytes())
}

fn matches_bytes(pattern: &[u8], name: &[u8]) -> bool {
    let Some((first, pattern_rest)) = pattern.split_first() else {
        return name.is_empty();
    };
    let next = name.split_first();
    match (first, next) {
        (b'*' | b'%', next) => {
            matches_bytes(pattern_rest, name)
                || next.is_some_and(|(byte, rest)| {
                    (*first == b'*' || *byte != b'/') && matches_bytes(pattern, rest)
                })
        }
        (_, Some((byte, rest))) => byte == first && matches_bytes(pattern_rest, rest),
        (_, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_follow_the_two_wildcards() {
        assert!(matches_pattern("*", "Archive/2026"));
        assert!(!matches_pattern("%", "Archive/2026"));
        assert!(matches_pattern("Archive/%", "Archive/2026"));
        assert!(matches_pattern("inbox", "INBOX"));
        assert!(!matches_pattern("sent", "Sent"));
    }
}
