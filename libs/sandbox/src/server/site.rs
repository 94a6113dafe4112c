use tokio_rustls::TlsAcceptor;

use crate::fault::FaultBook;
use crate::mailbox::{Counter, MailStore};
use crate::settings::Personality;
use crate::token::TokenBook;

/// What every session of every protocol shares.
pub(crate) struct Site {
    pub(crate) store: MailStore,
    pub(crate) tokens: TokenBook,
    pub(crate) faults: FaultBook,
    pub(crate) personality: Personality,
    pub(crate) allows_any_sender: bool,
    pub(crate) acceptor: TlsAcceptor,
}

/// A counter that is one higher for as long as this lives.
pub(crate) struct Level<'a>(&'a Counter);

impl<'a> Level<'a> {
    pub(crate) fn raise(counter: &'a Counter) -> Self {
        counter.increase();
        Self(counter)
    }
}

impl Drop for Level<'_> {
    fn drop(&mut self) {
        self.0.decrease();
    }
}
