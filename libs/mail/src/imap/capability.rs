/// A capability that changes what we do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capability {
    /// Changes are pushed (RFC 2177).
    Idle,
    /// Chosen mails can be expunged (RFC 4315).
    UidPlus,
    /// Mails can be moved in one step (RFC 6851).
    Move,
    /// Modification sequences (RFC 7162).
    CondStore,
    /// The first SASL response may go with the command (RFC 4959).
    SaslIr,
    /// The client may say who it is (RFC 2971).
    Id,
    /// LIST names a folder's special use, such as `\Sent` (RFC 6154).
    SpecialUse,
    /// LIST takes options (RFC 5258).
    ListExtended,
    /// TLS can be started.
    StartTls,
    /// LOGIN is refused.
    LoginDisabled,
    /// The XOAUTH2 mechanism.
    AuthXOAuth2,
    /// The OAUTHBEARER mechanism (RFC 7628).
    AuthOAuthBearer,
    /// The PLAIN mechanism.
    AuthPlain,
}

const NAMES: [(&str, Capability); 13] = [
    ("IDLE", Capability::Idle),
    ("UIDPLUS", Capability::UidPlus),
    ("MOVE", Capability::Move),
    ("CONDSTORE", Capability::CondStore),
    ("SASL-IR", Capability::SaslIr),
    ("ID", Capability::Id),
    ("SPECIAL-USE", Capability::SpecialUse),
    ("LIST-EXTENDED", Capability::ListExtended),
    ("STARTTLS", Capability::StartTls),
    ("LOGINDISABLED", Capability::LoginDisabled),
    ("AUTH=XOAUTH2", Capability::AuthXOAuth2),
    ("AUTH=OAUTHBEARER", Capability::AuthOAuthBearer),
    ("AUTH=PLAIN", Capability::AuthPlain),
];

/// Announced capabilities that change what we do; others are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities {
    // A bit set rather than strings: ten thousand idle sessions keep one each.
    bits: u32,
}

impl Capabilities {
    /// Reads a list of capabilities, as in `CAPABILITY IMAP4rev1 IDLE`.
    pub(super) fn read(list: &str) -> Self {
        let mut bits = 0;
        for word in list.split_ascii_whitespace() {
            for (name, capability) in NAMES {
                if word.eq_ignore_ascii_case(name) {
                    bits |= Self::bit(capability);
                }
            }
        }
        Self { bits }
    }

    /// Returns whether the server offers the capability.
    pub const fn has(self, capability: Capability) -> bool {
        self.bits & Self::bit(capability) != 0
    }

    /// Returns whether changes can be pushed.
    pub const fn has_idle(self) -> bool {
        self.has(Capability::Idle)
    }

    const fn bit(capability: Capability) -> u32 {
        1 << capability as u32
    }
}
