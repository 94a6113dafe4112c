use std::fmt;
use std::io;

use mailmesh_domain::{Diagnosis, FailureCause, Verdict};
use rustls::CertificateError;

/// How far a connection attempt came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectStage {
    /// Looking up the host name.
    Resolve,
    /// Opening the TCP connection.
    Tcp,
    /// The TLS handshake.
    Handshake,
}

impl fmt::Display for ConnectStage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Resolve => "looking up the host",
            Self::Tcp => "opening the connection",
            Self::Handshake => "agreeing on TLS",
        })
    }
}

/// Why a server's certificate was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateProblem {
    /// It is for another host name.
    WrongHost,
    /// It was signed by an authority that is not trusted here.
    UnknownAuthority,
    /// It has expired.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// It was revoked.
    Revoked,
    /// It is broken in another way.
    Invalid,
}

impl fmt::Display for CertificateProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::WrongHost => "is for another host name",
            Self::UnknownAuthority => "is signed by an authority that is not trusted here (a private one goes into ca_pem)",
            Self::Expired => "has expired",
            Self::NotYetValid => "is not valid yet",
            Self::Revoked => "was revoked",
            Self::Invalid => "is not valid",
        })
    }
}

/// A connection that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A bearer token would have crossed the network unprotected.
    #[error("an access token is never sent over an unprotected connection")]
    TokenInClear,
    /// A password would have crossed the network unprotected.
    #[error("a password is never sent over an unprotected connection")]
    PasswordInClear,
    /// The host is neither a name nor an address that a certificate can bear.
    #[error("the host is not a valid name or address")]
    InvalidHost,
    /// The name could not be looked up.
    #[error("the host name could not be looked up")]
    Resolve {
        /// What the resolver said.
        #[source]
        source: io::Error,
    },
    /// The name has no address.
    #[error("the host name has no address")]
    NoAddress,
    /// No administrator has named the host, and its addresses are not public.
    #[error("the host is not on the public Internet, and no administrator has allowed its network")]
    NotPublic,
    /// No address accepted the connection.
    #[error("the server could not be reached")]
    Tcp {
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A step took too long.
    #[error("{stage} took too long")]
    TimedOut {
        /// The step.
        stage: ConnectStage,
    },
    /// The certificate was refused.
    #[error("the server's certificate {problem}")]
    Certificate {
        /// Why.
        problem: CertificateProblem,
        /// What the TLS library said.
        #[source]
        source: rustls::Error,
    },
    /// What answered does not speak TLS.
    #[error("the server does not speak TLS on this port")]
    NotTls {
        /// What the TLS library said.
        #[source]
        source: rustls::Error,
    },
    /// The handshake failed otherwise.
    #[error("TLS could not be agreed on")]
    Handshake {
        /// What the stream said.
        #[source]
        source: io::Error,
    },
}

impl ConnectError {
    /// Returns what the failure is caused by, as far as it decides who must act.
    pub const fn failure_cause(&self) -> FailureCause {
        match self {
            Self::TokenInClear | Self::PasswordInClear => FailureCause::SecretInClear,
            Self::InvalidHost => FailureCause::HostInvalid,
            Self::NotPublic => FailureCause::NetworkNotAllowed,
            Self::Certificate { problem, .. } => match problem {
                CertificateProblem::WrongHost => FailureCause::CertificateOfOtherHost,
                CertificateProblem::UnknownAuthority => FailureCause::CertificateAuthority,
                _ => FailureCause::CertificateInvalid,
            },
            Self::NotTls { .. } => FailureCause::NotTls,
            Self::Resolve { .. }
            | Self::NoAddress
            | Self::Tcp { .. }
            | Self::TimedOut {
                stage: ConnectStage::Resolve | ConnectStage::Tcp,
            } => FailureCause::HostNotReached,
            Self::TimedOut { .. } | Self::Handshake { .. } => FailureCause::TlsFailed,
        }
    }

    /// Returns what the failure means and who must act, as long as nobody is to be told of it.
    pub fn verdict(&self) -> Verdict {
        Diagnosis::new(self.failure_cause()).verdict()
    }

    /// Distinguishes a refused certificate and a port without TLS from a broken connection.
    pub fn from_handshake(source: io::Error) -> Self {
        let Some(cause) = source
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        else {
            return Self::Handshake { source };
        };
        match cause {
            rustls::Error::InvalidCertificate(certificate) => Self::Certificate {
                problem: problem_of(certificate),
                source: cause.clone(),
            },
            rustls::Error::NoCertificatesPresented => Self::Certificate {
                problem: CertificateProblem::Invalid,
                source: cause.clone(),
            },
            rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType) => {
                Self::NotTls {
                    source: cause.clone(),
                }
            }
            _ => Self::Handshake { source },
        }
    }
}

fn problem_of(error: &CertificateError) -> CertificateProblem {
    match error {
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            CertificateProblem::WrongHost
        }
        CertificateError::UnknownIssuer => CertificateProblem::UnknownAuthority,
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            CertificateProblem::Expired
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            CertificateProblem::NotYetValid
        }
        CertificateError::Revoked => CertificateProblem::Revoked,
        _ => CertificateProblem::Invalid,
    }
}
