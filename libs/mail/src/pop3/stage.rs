use std::fmt;

/// What a session was doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Waiting for the first line.
    Greeting,
    /// STLS.
    StartTls,
    /// CAPA.
    Capability,
    /// AUTH, or USER and PASS.
    SignIn,
    /// STAT.
    Status,
    /// UIDL, LIST.
    List,
    /// RETR.
    Retrieve,
    /// DELE.
    Delete,
    /// QUIT.
    Quit,
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Greeting => "waiting for the greeting",
            Self::StartTls => "asking for TLS",
            Self::Capability => "asking for capabilities",
            Self::SignIn => "signing in",
            Self::Status => "asking for the number of mails",
            Self::List => "listing",
            Self::Retrieve => "fetching",
            Self::Delete => "deleting",
            Self::Quit => "ending the session",
        })
    }
}

/// How a session signs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// Google's and Microsoft's bearer token mechanism.
    XOAuth2,
    /// The bearer token mechanism of RFC 7628.
    OAuthBearer,
    /// A password, by SASL.
    Plain,
    /// A password, by USER and PASS.
    UserPass,
}

impl Mechanism {
    /// Returns whether the mechanism carries a bearer token.
    pub const fn is_oauth2(self) -> bool {
        matches!(self, Self::XOAuth2 | Self::OAuthBearer)
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::XOAuth2 => "XOAUTH2",
            Self::OAuthBearer => "OAUTHBEARER",
            Self::Plain => "PLAIN",
            Self::UserPass => "USER and PASS",
        }
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
