use std::fmt;
use std::io;

use mailmesh_domain::{MustAct, Verdict};
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
    /// Returns what the failure means and who must act.
    pub const fn verdict(&self) -> Verdict {
        match self {
            Self::TokenInClear
            | Self::PasswordInClear
            | Self::InvalidHost
            | Self::Certificate { .. }
            | Self::NotTls { .. } => Verdict::needs_administrator(MustAct::Administrator),
            Self::Resolve { .. }
            | Self::NoAddress
            | Self::Tcp { .. }
            | Self::TimedOut { .. }
            | Self::Handshake { .. } => Verdict::transient(),
            // Tried as often as a host that is not there: else the time until it is told shows which private names exist.
            Self::NotPublic => Verdict {
                who: MustAct::Administrator,
                ..Verdict::transient()
            },
        }
    }

    /// Returns whether nothing answered where the server should be, or was asked there.
    pub const fn is_unreached(&self) -> bool {
        matches!(
            self,
            Self::Resolve { .. }
                | Self::NoAddress
                | Self::NotPublic
                | Self::Tcp { .. }
                | Self::TimedOut {
                    stage: ConnectStage::Resolve | ConnectStage::Tcp
                }
        )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_refused_by_rule_is_tried_as_one_that_is_not_there() {
        let io = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let timed_out = |stage| ConnectError::TimedOut { stage };
        for error in [
            ConnectError::NotPublic,
            ConnectError::NoAddress,
            ConnectError::Resolve { source: io() },
            ConnectError::Tcp { source: io() },
            timed_out(ConnectStage::Resolve),
            timed_out(ConnectStage::Tcp),
        ] {
            let (verdict, transient) = (error.verdict(), Verdict::transient());
            assert_eq!(verdict.kind, transient.kind, "{error}");
            assert_eq!(verdict.retry_after, transient.retry_after, "{error}");
            assert!(error.is_unreached(), "{error}");
        }
    }
}
