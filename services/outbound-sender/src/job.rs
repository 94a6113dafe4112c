use bytes::Bytes;
use mailmesh_accounts::MemoryPermit;
use mailmesh_store::outbound_mail::OutboundMail;

use crate::in_flight::InFlightGuard;

#[derive(Debug)]
pub(crate) struct ClaimedMail {
    pub(crate) mail: OutboundMail,
    pub(crate) guard: InFlightGuard,
}

/// A claimed mail with its body, ready for a connection.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) mail: OutboundMail,
    pub(crate) raw: Bytes,
    guard: InFlightGuard,
    _room: MemoryPermit,
}

impl ClaimedMail {
    pub(crate) fn into_job(self, raw: Bytes, room: MemoryPermit) -> Job {
        Job {
            mail: self.mail,
            raw,
            guard: self.guard,
            _room: room,
        }
    }
}

impl Job {
    pub(crate) fn into_claimed(self) -> ClaimedMail {
        ClaimedMail {
            mail: self.mail,
            guard: self.guard,
        }
    }
}
