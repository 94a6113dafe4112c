//! What whoever must act should do, in the words of an account's settings: for failures that protocols share.

use crate::connection::{CertificateProblem, ConnectError, ConnectStage};

pub(crate) const OTHER_PROTOCOL: &str = "Correct the account's protocol or port: IMAP is at port 993 with tls and 143 with starttls, POP3 at 995 and 110, SMTP at 465 and 587.";
pub(crate) const WRONG_PASSWORD: &str = "Correct the account's login and password.";
pub(crate) const WRONG_FOLDER: &str =
    "Correct the account's folder, or create it at the server. It is tried again by itself.";
/// For answers that no setting of an account could cause.
pub(crate) const SERVER_FAULT: &str = "Have the mail server's administrator look at what it answered; the account's settings are not the cause. It is tried again by itself.";
pub(crate) const NO_MECHANISM: &str = "Choose another authorisation or encryption for the account: the server offers no sign-in for this one.";

/// For a server that was never reached.
pub const CHECK_HOST: &str = "Check the account's host and port, and whether a firewall is between. It is tried again by itself.";
/// For a server that refuses tokens which the provider has just given.
pub const CHECK_SCOPES: &str = "Check that the scopes of the client configuration cover this protocol, and that it is switched on for this mailbox; then sign in again. The sign-in itself works.";

pub(crate) const fn of_connect(error: &ConnectError) -> &'static str {
    match error {
        ConnectError::TokenInClear | ConnectError::PasswordInClear => {
            "Set the account's encryption to tls or starttls."
        }
        ConnectError::InvalidHost => "Correct the account's host.",
        ConnectError::NotPublic => {
            "Correct the account's host, or have an administrator allow its network (network.allow)."
        }
        ConnectError::Certificate { problem, .. } => of_certificate(*problem),
        ConnectError::NotTls { .. } => {
            "The server speaks without TLS at first on this port: set the account's encryption to starttls, or its port to the one for tls (IMAP 993, POP3 995, SMTP 465)."
        }
        ConnectError::Resolve { .. }
        | ConnectError::NoAddress
        | ConnectError::Tcp { .. }
        | ConnectError::TimedOut {
            stage: ConnectStage::Resolve | ConnectStage::Tcp,
        } => {
            "It is tried again by itself. If it stays, check the account's host and port, and whether a firewall is between."
        }
        ConnectError::TimedOut { .. } | ConnectError::Handshake { .. } => {
            "It is tried again by itself. If it stays, check the account's port and encryption."
        }
    }
}

const fn of_certificate(problem: CertificateProblem) -> &'static str {
    match problem {
        CertificateProblem::WrongHost => {
            "Correct the account's host: it has to be a name that the certificate is for."
        }
        CertificateProblem::UnknownAuthority => {
            "Put the certificate of the authority that signed it into the account's ca_pem."
        }
        _ => "Have the server's certificate renewed.",
    }
}
