use super::Session;
use super::answer::{CommandAnswer, CommandProblem};
use super::parse::Parser;
use crate::mailbox::Flags;

const READ_ONLY: &str = "[READ-ONLY] The mailbox was opened with EXAMINE";

#[derive(Clone, Copy)]
enum Change {
    Replace,
    Add,
    Remove,
}

impl Session {
    pub(super) fn store(
        &mut self,
        is_by_uid: bool,
        parser: &mut Parser,
    ) -> Result<CommandAnswer, CommandProblem> {
        let sequence = parser.sequence()?;
        let (change, is_silent) = match parser.item()?.as_str() {
            "FLAGS" => (Change::Replace, false),
            "FLAGS.SILENT" => (Change::Replace, true),
            "+FLAGS" => (Change::Add, false),
            "+FLAGS.SILENT" => (Change::Add, true),
            "-FLAGS" => (Change::Remove, false),
            "-FLAGS.SILENT" => (Change::Remove, true),
            _ => return Err(CommandProblem::Malformed),
        };
        let flags = parser.flags()?;
        let (mailbox, view, wire) = self.selected()?;
        if view.is_read_only {
            return Ok(CommandAnswer::No(READ_ONLY.into()));
        }
        let mut folders = mailbox.folders();
        let Some(folder) = view.find_mut(&mut folders) else {
            return Ok(CommandAnswer::Done);
        };
        // Other sessions' changes must be reported before this session's own count as reported.
        view.report(folder, false, &mut wire.output);
        for place in sequence.places(view.uids(), is_by_uid) {
            let uid = view.uids().get(place).copied().unwrap_or_default();
            let changed = folder.change_flags(uid, |old| match change {
                Change::Replace => old.clone_from(&flags),
                Change::Add => old.add(&flags),
                Change::Remove => old.remove(&flags),
            });
            if let Some(mail) = changed
                && !is_silent
            {
                let number = place + 1;
                let flags = &mail.flags;
                if is_by_uid {
                    wire.say(format_args!(
                        "* {number} FETCH (UID {uid} FLAGS ({flags}))\r\n"
                    ));
                } else {
                    wire.say(format_args!("* {number} FETCH (FLAGS ({flags}))\r\n"));
                }
            }
        }
        view.mark_flags_seen(folder);
        drop(folders);
        mailbox.announce();
        Ok(CommandAnswer::Done)
    }

    pub(super) fn expunge(
        &mut self,
        is_by_uid: bool,
        parser: &mut Parser,
    ) -> Result<CommandAnswer, CommandProblem> {
        let chosen = if is_by_uid {
            Some(parser.sequence()?)
        } else {
            None
        };
        let (mailbox, view, _) = self.selected()?;
        if view.is_read_only {
            return Ok(CommandAnswer::No(READ_ONLY.into()));
        }
        let largest = view.uids().last().copied().unwrap_or(0);
        let mut folders = mailbox.folders();
        let removed = view.find_mut(&mut folders).map(|folder| {
            folder.remove(|mail| {
                mail.flags.has(Flags::DELETED)
                    && chosen
                        .as_ref()
                        .is_none_or(|chosen| chosen.contains(mail.uid, largest))
            })
        });
        drop(folders);
        if removed.is_some_and(|count| count > 0) {
            mailbox.announce();
        }
        Ok(CommandAnswer::Done)
    }
}
