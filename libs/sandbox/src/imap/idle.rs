use std::sync::Arc;
use std::time::Duration;

use super::answer::{CommandAnswer, CommandProblem};
use super::{Session, SignedInMailbox};
use crate::server::bytes::trim_line_end;
use crate::server::site::Level;
use crate::server::wire::{ConnectionEnd, Wire};

const STILL_HERE: Duration = Duration::from_mins(2);
/// Nothing but DONE may come; a client that sends this much has lost its place.
const INPUT_BYTES: usize = 1_024;

impl Session {
    pub(super) async fn idle(&mut self) -> Result<CommandAnswer, CommandProblem> {
        let site = Arc::clone(&self.site);
        let _level = Level::raise(&site.store.count().imap_idling);
        // Subscribed before the first report: what comes between the two is not missed.
        let mut news = self.mailbox()?.subscribe();
        self.wire()?.put(b"+ idling\r\n");
        if self.mailbox()?.imap_quirks().ends_idle {
            self.wire()?.put(b"* BYE Autologout\r\n");
            self.wire()?.flush().await?;
            return Err(ConnectionEnd::ByUs.into());
        }
        loop {
            self.report_news(true)?;
            if self
                .account
                .as_ref()
                .is_some_and(SignedInMailbox::is_expired)
            {
                self.expire().await?;
            }
            let wire = self.wire()?;
            if let Some(line) = wire.take_line() {
                return Ok(finish(&line));
            }
            if wire.input.len() > INPUT_BYTES {
                return Err(ConnectionEnd::ByUs.into());
            }
            // Flushed before the race, so that a lost race cannot send anything twice.
            wire.flush().await?;
            wire.rest();
            tokio::select! {
                filled = wire.fill() => filled?,
                changed = news.changed() => changed.map_err(|_| ConnectionEnd::ByUs)?,
                () = tokio::time::sleep(STILL_HERE) => say_still_here(wire),
            }
        }
    }
}

fn say_still_here(wire: &mut Wire) {
    wire.put(b"* OK Still here\r\n");
}

fn finish(line: &[u8]) -> CommandAnswer {
    if trim_line_end(line).eq_ignore_ascii_case(b"DONE") {
        CommandAnswer::Ok("IDLE completed".into())
    } else {
        CommandAnswer::Bad("Expected DONE".into())
    }
}
