//! The `IMAP4rev1` server: one task per connection, one command at a time, replies gathered per pipelined group.
//!
//! Strict where clients go wrong in the field (sign-in only over TLS, UIDs, literals, IDLE's DONE) and lenient towards
//! spelling. MIME parts are not taken apart: `BODY[1]` is the whole text and BODYSTRUCTURE is refused.

mod answer;
mod envelope;
mod fetch;
mod flow;
mod folder;
mod header;
mod idle;
mod item;
mod moment;
mod parse;
mod search;
mod sequence;
mod sign_in;
mod store;
mod transfer;
mod view;

use std::sync::Arc;

use bytes::Bytes;

use crate::mailbox::Mailbox;
use crate::server::site::Site;
use crate::server::wire::{ConnectionEnd, Strike, Wire};
use crate::settings::Personality;
use answer::{CommandAnswer, CommandProblem};
use flow::ReceivedCommand;
use parse::Parser;
use view::View;

/// Real servers close after three failures; a client that loops on a bad token finds out.
const FAILED_SIGN_INS: u8 = 3;

struct Session {
    site: Arc<Site>,
    wire: Option<Wire>,
    account: Option<SignedInMailbox>,
    view: Option<View>,
    failed_sign_ins: u8,
}

/// Who is signed in.
struct SignedInMailbox {
    mailbox: Arc<Mailbox>,
    /// The mailbox's epoch at sign-in; another one now means that this session is over.
    epoch: u64,
    /// Exchange accepts a token for another mailbox and then refuses every command.
    is_connected: bool,
}

impl SignedInMailbox {
    fn is_expired(&self) -> bool {
        self.mailbox.epoch() != self.epoch
    }
}

/// Serves one connection to its end.
pub(crate) async fn serve(site: &Arc<Site>, wire: Wire) {
    let mut session = Session {
        site: Arc::clone(site),
        wire: Some(wire),
        account: None,
        view: None,
        failed_sign_ins: 0,
    };
    if session.run().await.is_err()
        && let Some(wire) = &mut session.wire
    {
        // The connection is over either way; this only tries to deliver the last words.
        wire.flush().await.ok();
    }
}

impl Session {
    fn wire(&mut self) -> Result<&mut Wire, ConnectionEnd> {
        self.wire.as_mut().ok_or(ConnectionEnd::Broken)
    }

    fn address(&self) -> Option<&str> {
        self.account
            .as_ref()
            .map(|account| &*account.mailbox.address)
    }

    async fn run(&mut self) -> Result<(), ConnectionEnd> {
        if self.strike("imap.greeting", "*").await? == Strike::Passed {
            self.greet()?;
        }
        loop {
            let wire = self.wire()?;
            if wire.input.is_empty() {
                wire.flush().await?;
                wire.rest();
            }
            match flow::read_command(wire).await? {
                ReceivedCommand::Command(text) => self.obey(text).await?,
                ReceivedCommand::TooLong { tag } => {
                    wire.say(format_args!("{tag} BAD [TOOBIG] Command too long\r\n"));
                }
            }
        }
    }

    fn greet(&mut self) -> Result<(), ConnectionEnd> {
        let capabilities = self.capabilities();
        let is_exchange = self.site.personality == Personality::Microsoft;
        let wire = self.wire()?;
        if is_exchange {
            wire.put(b"* OK The Microsoft Exchange IMAP4 service is ready. [c2FuZGJveA==]\r\n");
        } else {
            wire.say(format_args!(
                "* OK [CAPABILITY {capabilities}] mailmesh sandbox ready\r\n"
            ));
        }
        Ok(())
    }

    fn capabilities(&self) -> String {
        let is_exchange = self.site.personality == Personality::Microsoft;
        let is_secure = self.wire.as_ref().is_some_and(Wire::is_secure);
        let mut text =
            String::from("IMAP4rev1 SASL-IR ID IDLE NAMESPACE UNSELECT UIDPLUS CHILDREN LITERAL+");
        if !is_secure {
            text.push_str(" STARTTLS LOGINDISABLED");
        } else if self.account.is_none() {
            text.push_str(" AUTH=PLAIN AUTH=XOAUTH2");
            text.push_str(if is_exchange { "" } else { " AUTH=OAUTHBEARER" });
        }
        if self.account.is_some() {
            text.push_str(" MOVE");
            text.push_str(if is_exchange {
                ""
            } else {
                " ENABLE SPECIAL-USE"
            });
        }
        text
    }

    async fn obey(&mut self, text: Bytes) -> Result<(), ConnectionEnd> {
        self.site.store.count().imap_commands.increase();
        let mut parser = Parser::new(text);
        let (Ok(tag), Ok(name)) = (parser.tag(), parser.word()) else {
            self.wire()?.put(b"* BAD Not a command\r\n");
            return Ok(());
        };
        if self
            .account
            .as_ref()
            .is_some_and(SignedInMailbox::is_expired)
        {
            return self.expire().await;
        }
        let is_by_uid = name == "UID";
        let name = if is_by_uid {
            parser.word().unwrap_or_default()
        } else {
            name
        };
        let answer = match self.dispatch(&tag, &name, is_by_uid, &mut parser).await {
            Ok(answer) => answer,
            Err(CommandProblem::Malformed) => {
                CommandAnswer::Bad("Cannot understand the arguments".into())
            }
            Err(CommandProblem::NotSelected) => CommandAnswer::Bad("No mailbox selected".into()),
            Err(CommandProblem::Ended(ended)) => return Err(ended),
        };
        // RFC 3501 7.4.1: no EXPUNGE while a command with sequence numbers may be on its way.
        let may_expunge = is_by_uid || !matches!(name.as_str(), "FETCH" | "STORE" | "SEARCH");
        self.report_news(may_expunge)?;
        self.finish(&tag, &name, answer)
    }

    fn finish(
        &mut self,
        tag: &str,
        name: &str,
        answer: CommandAnswer,
    ) -> Result<(), ConnectionEnd> {
        let wire = self.wire()?;
        match answer {
            CommandAnswer::Done => wire.say(format_args!("{tag} OK {name} completed\r\n")),
            CommandAnswer::Ok(text) => wire.say(format_args!("{tag} OK {text}\r\n")),
            CommandAnswer::No(text) => wire.say(format_args!("{tag} NO {text}\r\n")),
            CommandAnswer::Bad(text) => wire.say(format_args!("{tag} BAD {text}\r\n")),
            CommandAnswer::Sent => {}
        }
        Ok(())
    }

    async fn dispatch(
        &mut self,
        tag: &str,
        name: &str,
        is_by_uid: bool,
        parser: &mut Parser,
    ) -> Result<CommandAnswer, CommandProblem> {
        match name {
            "CAPABILITY" => {
                let capabilities = self.capabilities();
                self.wire()?
                    .say(format_args!("* CAPABILITY {capabilities}\r\n"));
                return Ok(CommandAnswer::Done);
            }
            "NOOP" | "CHECK" => return Ok(CommandAnswer::Done),
            "ID" => {
                self.wire()?
                    .put(b"* ID (\"name\" \"mailmesh-sandbox\")\r\n");
                return Ok(CommandAnswer::Done);
            }
            "LOGOUT" => return self.log_out(tag).await,
            _ => {}
        }
        match &self.account {
            None => Box::pin(self.before_sign_in(tag, name, parser)).await,
            Some(account) if !account.is_connected => {
                let wire = self.wire()?;
                wire.say(format_args!(
                    "{tag} BAD User is authenticated but not connected.\r\n\
                     * BYE Connection closed. 14\r\n"
                ));
                Err(ConnectionEnd::ByUs.into())
            }
            Some(_) => Box::pin(self.after_sign_in(tag, name, is_by_uid, parser)).await,
        }
    }

    async fn before_sign_in(
        &mut self,
        tag: &str,
        name: &str,
        parser: &mut Parser,
    ) -> Result<CommandAnswer, CommandProblem> {
        match name {
            "STARTTLS" => self.start_tls(tag).await,
            "AUTHENTICATE" => self.authenticate(tag, parser).await,
            "LOGIN" => self.log_in(tag, parser).await,
            _ => Ok(CommandAnswer::Bad("Sign in first".into())),
        }
    }

    async fn after_sign_in(
        &mut self,
        tag: &str,
        name: &str,
        is_by_uid: bool,
        parser: &mut Parser,
    ) -> Result<CommandAnswer, CommandProblem> {
        if let Some(point) = point_of(name)
            && self.strike(point, tag).await? == Strike::Answered
        {
            return Ok(CommandAnswer::Sent);
        }
        match name {
            "NAMESPACE" => {
                self.wire()?.put(b"* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n");
                Ok(CommandAnswer::Done)
            }
            "ENABLE" => {
                self.wire()?.put(b"* ENABLED\r\n");
                Ok(CommandAnswer::Done)
            }
            "LIST" | "LSUB" => self.list(name, parser),
            "STATUS" => self.status(parser),
            "CREATE" => self.create(parser),
            "RENAME" => self.rename(parser),
            "DELETE" => self.delete(parser),
            "SUBSCRIBE" | "UNSUBSCRIBE" => Ok(CommandAnswer::Done),
            "SELECT" => self.select(parser, false),
            "EXAMINE" => self.select(parser, true),
            "CLOSE" => self.close(true),
            "UNSELECT" => self.close(false),
            "APPEND" => self.append(parser),
            "IDLE" => self.idle().await,
            "EXPUNGE" => self.expunge(is_by_uid, parser),
            "SEARCH" => self.search(is_by_uid, parser),
            "FETCH" => self.fetch(is_by_uid, parser).await,
            "STORE" => self.store(is_by_uid, parser),
            "COPY" => self.copy(is_by_uid, parser),
            "MOVE" => self.move_mails(is_by_uid, parser),
            _ => Ok(CommandAnswer::Bad("Unknown command".into())),
        }
    }

    async fn log_out(&mut self, tag: &str) -> Result<CommandAnswer, CommandProblem> {
        if self.strike("imap.logout", tag).await? == Strike::Passed {
            self.wire()?.say(format_args!(
                "* BYE Logging out\r\n{tag} OK LOGOUT completed\r\n"
            ));
        }
        Err(ConnectionEnd::ByUs.into())
    }

    async fn strike(&mut self, point: &str, tag: &str) -> Result<Strike, ConnectionEnd> {
        let site = Arc::clone(&self.site);
        let mailbox = self
            .account
            .as_ref()
            .map(|account| Arc::clone(&account.mailbox));
        let address = mailbox.as_ref().map(|mailbox| &*mailbox.address);
        self.wire()?.strike(&site, point, address, tag).await
    }

    async fn expire(&mut self) -> Result<(), ConnectionEnd> {
        let is_exchange = self.site.personality == Personality::Microsoft;
        let wire = self.wire()?;
        wire.put(if is_exchange {
            b"* BYE Session invalidated - AccessTokenExpired\r\n"
        } else {
            b"* BYE Session expired, please login again.\r\n"
        });
        wire.flush().await?;
        Err(ConnectionEnd::ByUs)
    }

    /// Reports what other sessions changed in the selected folder.
    fn report_news(&mut self, may_expunge: bool) -> Result<(), ConnectionEnd> {
        let (Some(account), Some(view), Some(wire)) =
            (&self.account, &mut self.view, &mut self.wire)
        else {
            return Ok(());
        };
        let folders = account.mailbox.folders();
        let folder = view.find(&folders).ok_or(ConnectionEnd::ByUs);
        match folder {
            Ok(folder) => {
                view.report(folder, may_expunge, &mut wire.output);
                Ok(())
            }
            Err(ended) => {
                // RFC 3501 has no other way to tell a selected session that its UIDs are void.
                wire.put(b"* BYE UIDVALIDITY changed\r\n");
                Err(ended)
            }
        }
    }
}

fn point_of(name: &str) -> Option<&'static str> {
    Some(match name {
        "SELECT" | "EXAMINE" => "imap.select",
        "SEARCH" => "imap.search",
        "FETCH" => "imap.fetch",
        "IDLE" => "imap.idle",
        "STORE" => "imap.store",
        "COPY" | "MOVE" => "imap.move",
        _ => return None,
    })
}
