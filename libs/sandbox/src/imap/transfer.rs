use std::borrow::Cow;

use super::Session;
use super::answer::{CommandAnswer, CommandProblem};
use super::moment::parse_moment;
use super::parse::Parser;
use super::sequence::UidSet;
use crate::mailbox::{Flags, Mail, find_folder_mut};

const TRY_CREATE: &str = "[TRYCREATE] Unknown mailbox";

impl Session {
    pub(super) fn copy(
        &mut self,
        is_by_uid: bool,
        parser: &mut Parser,
    ) -> Result<CommandAnswer, CommandProblem> {
        Ok(match self.transfer(is_by_uid, parser, false)? {
            None => CommandAnswer::No(TRY_CREATE.into()),
            Some(code) => CommandAnswer::Ok(Cow::Owned(format!("{code}COPY completed"))),
        })
    }

    pub(super) fn move_mails(
        &mut self,
        is_by_uid: bool,
        parser: &mut Parser,
    ) -> Result<CommandAnswer, CommandProblem> {
        match self.transfer(is_by_uid, parser, true)? {
            None => Ok(CommandAnswer::No(TRY_CREATE.into())),
            Some(code) => {
                // RFC 6851 4.3: the code comes before the EXPUNGEs.
                self.wire()?.say(format_args!("* OK {code}Moved\r\n"));
                self.report_news(true)?;
                Ok(CommandAnswer::Done)
            }
        }
    }

    /// Returns the COPYUID code with a blank after it, or nothing when no mail was meant.
    fn transfer(
        &mut self,
        is_by_uid: bool,
        parser: &mut Parser,
        is_move: bool,
    ) -> Result<Option<String>, CommandProblem> {
        let sequence = parser.sequence()?;
        let name = parser.string()?;
        let (mailbox, view, _) = self.selected()?;
        let places = sequence.places(view.uids(), is_by_uid);
        let mut folders = mailbox.folders();
        let mails: Vec<Mail> = view.find(&folders).map_or_else(Vec::new, |folder| {
            places
                .iter()
                .filter_map(|place| folder.find(*view.uids().get(*place)?).cloned())
                .collect()
        });
        let Some(target) = find_folder_mut(&mut folders, &name) else {
            return Ok(None);
        };
        let validity = target.uid_validity;
        let uids: Vec<u32> = mails.iter().map(|mail| mail.uid).collect();
        let new_uids: Vec<u32> = mails
            .into_iter()
            .map(|mail| target.append(mail.raw, mail.flags, mail.received_at))
            .collect();
        if is_move && let Some(source) = view.find_mut(&mut folders) {
            source.remove(|mail| uids.binary_search(&mail.uid).is_ok());
        }
        drop(folders);
        mailbox.announce();
        if uids.is_empty() {
            return Ok(Some(String::new()));
        }
        let (from, to) = (UidSet(&uids), UidSet(&new_uids));
        Ok(Some(format!("[COPYUID {validity} {from} {to}] ")))
    }

    pub(super) fn append(&mut self, parser: &mut Parser) -> Result<CommandAnswer, CommandProblem> {
        let name = parser.string()?;
        let flags = if parser.peek() == Some(b'(') {
            parser.flags()?
        } else {
            Flags::default()
        };
        let received_at = if parser.peek() == Some(b'"') {
            parse_moment(&parser.string()?).ok_or(CommandProblem::Malformed)?
        } else {
            self.site.store.now()
        };
        let raw = parser.literal()?;
        let mailbox = self.mailbox()?;
        let appended = find_folder_mut(&mut mailbox.folders(), &name).map(|folder| {
            let uid = folder.append(raw, flags, received_at);
            (folder.uid_validity, uid)
        });
        let Some((validity, uid)) = appended else {
            return Ok(CommandAnswer::No(TRY_CREATE.into()));
        };
        mailbox.announce();
        Ok(CommandAnswer::Ok(Cow::Owned(format!(
            "[APPENDUID {validity} {uid}] APPEND completed"
        ))))
    }
}
