//! The inbound fetcher against real NATS, Postgres, and the sandbox's IMAP and POP3.

mod backlog;
#[cfg(test)]
mod fault;
mod folder;
mod maildrop;
#[cfg(test)]
mod numbering;
mod post_action;
#[cfg(test)]
mod push;
#[cfg(test)]
mod quarantine;
#[cfg(test)]
mod range;
#[cfg(test)]
mod read_back;
#[cfg(test)]
mod receive;
mod rename;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod takeover;
#[cfg(test)]
mod token;
mod unproved;
mod world;
mod wrong_setting;
