//! Connections to mail servers.

use super::{Row, When, always};
use crate::FailureCause as Cause;
use crate::MustAct::{Administrator, Nobody};
use crate::VerdictKind::{NeedsAdministrator, Transient};

pub(super) const ROWS: &[Row] = &[
    always(
        Cause::HostNotReached,
        Transient,
        Administrator,
        "Check that the mail server runs and that this machine reaches it: it has not answered for over an hour. It is tried again by itself.",
    )
    .when(When::StandsLong),
    always(
        Cause::HostNotReached,
        Transient,
        Nobody,
        "Nothing: the mail server worked before, and it is tried again by itself.",
    )
    .when(When::Worked),
    always(
        Cause::HostNotReached,
        NeedsAdministrator,
        Administrator,
        "Check host and port of the account, and whether a firewall is between: the mail server was never reached there. It is tried again by itself.",
    ),
    always(
        Cause::ServerSilent,
        Transient,
        Administrator,
        "Check that the mail server works: it has taken connections and said nothing for over an hour. It is tried again by itself.",
    )
    .when(When::StandsLong),
    always(
        Cause::ServerSilent,
        Transient,
        Nobody,
        "Nothing: the mail server worked before, and it is tried again by itself.",
    )
    .when(When::Worked),
    always(
        Cause::ServerSilent,
        Transient,
        Administrator,
        "Check host, port and encryption of the account, and whether a firewall is between: ports 993 (IMAP), 995 (POP3) and 465 (SMTP) want tls, ports 143, 110 and 587 starttls. It is tried again by itself.",
    ),
    always(
        Cause::TlsFailed,
        Transient,
        Administrator,
        "Check that the mail server works: TLS could not be agreed on for over an hour. It is tried again by itself.",
    )
    .when(When::StandsLong),
    always(
        Cause::TlsFailed,
        Transient,
        Nobody,
        "Nothing: the mail server worked before, and it is tried again by itself.",
    )
    .when(When::Worked),
    always(
        Cause::TlsFailed,
        Transient,
        Administrator,
        "Check port and encryption of the account: ports 993 (IMAP), 995 (POP3) and 465 (SMTP) want tls, ports 143, 110 and 587 starttls. It is tried again by itself.",
    ),
    always(
        Cause::NotTls,
        NeedsAdministrator,
        Administrator,
        "Set the account's encryption to starttls, or its port to the one for tls (IMAP 993, POP3 995, SMTP 465): the server speaks without TLS at first on this port.",
    ),
    always(
        Cause::NoStartTls,
        NeedsAdministrator,
        Administrator,
        "Set the account's encryption to tls, with the port for it (IMAP 993, POP3 995, SMTP 465), or ask the server's operator for STARTTLS.",
    ),
    always(
        Cause::TlsTampered,
        NeedsAdministrator,
        Administrator,
        "Set the account's encryption to tls, with the port for it (IMAP 993, POP3 995, SMTP 465), and find out who changes what is sent before TLS begins.",
    ),
    always(
        Cause::CertificateOfOtherHost,
        NeedsAdministrator,
        Administrator,
        "Correct the account's host: it has to be a name that the certificate is for.",
    ),
    always(
        Cause::CertificateAuthority,
        NeedsAdministrator,
        Administrator,
        "Put the certificate of the authority that signed it into the account's ca_pem.",
    ),
    always(
        Cause::CertificateInvalid,
        NeedsAdministrator,
        Administrator,
        "Have the server's certificate renewed.",
    ),
    always(
        Cause::OtherProtocol,
        NeedsAdministrator,
        Administrator,
        "Correct the account's protocol or port: IMAP is at port 993 with tls and 143 with starttls, POP3 at 995 and 110, SMTP at 465 and 587.",
    ),
    always(
        Cause::SecretInClear,
        NeedsAdministrator,
        Administrator,
        "Set the account's encryption to tls or starttls.",
    ),
    always(
        Cause::HostInvalid,
        NeedsAdministrator,
        Administrator,
        "Correct the account's host.",
    ),
    // Tried and told as a host that is not there: else the time until it is told shows which private names exist.
    always(
        Cause::NetworkNotAllowed,
        Transient,
        Administrator,
        "Correct the account's host, or allow its network (network.allow).",
    )
    .when(When::Worked),
    always(
        Cause::NetworkNotAllowed,
        NeedsAdministrator,
        Administrator,
        "Correct the account's host, or allow its network (network.allow).",
    ),
    always(
        Cause::NoServer,
        NeedsAdministrator,
        Administrator,
        "Set the account's host. It is tried again by itself.",
    ),
    always(
        Cause::AuthorityUnusable,
        NeedsAdministrator,
        Administrator,
        "Correct the account's ca_pem. Without one, this machine needs the usual authorities (ca-certificates). It is tried again by itself.",
    ),
    always(
        Cause::ProtocolUnfit,
        NeedsAdministrator,
        Administrator,
        "Choose a protocol for the account that can do what it is for: IMAP and POP3 receive, SMTP sends.",
    ),
    always(
        Cause::CredentialsUnusable,
        NeedsAdministrator,
        Administrator,
        "Correct the account's login and password: one of them is empty or holds a control character.",
    ),
    always(
        Cause::ClientNameInvalid,
        NeedsAdministrator,
        Administrator,
        "Correct the client name that SMTP servers are told (smtp.client_name): it has to be a host name.",
    ),
];
