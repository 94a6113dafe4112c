/// How the value of a header field is written. Only free text and phrases may hold encoded words (RFC 2047 §5): in all
/// other places programs would read them as they stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldKind {
    /// Other fields of a draft set it, MIME needs it as it is, or only servers write it.
    Reserved,
    /// Names people.
    Addresses,
    /// Phrases between tokens, such as `Keywords`.
    Phrases,
    /// Tokens, ids, URLs, dates.
    Structured,
    /// Free text.
    Text,
    /// None of the fields that are known here.
    Unknown,
}

const RESERVED: [&str; 20] = [
    "from",
    "sender",
    "reply-to",
    "to",
    "cc",
    "bcc",
    "subject",
    "date",
    "message-id",
    "in-reply-to",
    "references",
    "received",
    "received-spf",
    "return-path",
    "delivered-to",
    "x-original-to",
    "authentication-results",
    "apparently-to",
    "errors-to",
    "envelope-to",
];
const RESERVED_PREFIXES: [&str; 6] = [
    "mime-",
    "content-",
    "dkim-",
    "domainkey-",
    "arc-",
    "resent-",
];

const ADDRESSES: [&str; 8] = [
    "abuse-reports-to",
    "disposition-notification-to",
    "mail-followup-to",
    "mail-reply-to",
    "read-receipt-to",
    "return-receipt-requested",
    "return-receipt-to",
    "x-confirm-reading-to",
];

const PHRASES: [&str; 2] = ["keywords", "list-id"];

/// The registry of IANA (Permanent and Provisional Message Header Field Names), and what providers read.
const STRUCTURED: [&str; 40] = [
    "accept-language",
    "archived-at",
    "auto-submitted",
    "autocrypt",
    "autocrypt-gossip",
    "autoforwarded",
    "autosubmitted",
    "cancel-key",
    "cancel-lock",
    "conversion",
    "conversion-with-loss",
    "deferred-delivery",
    "disposition-notification-options",
    "expires",
    "expiry-date",
    "face",
    "feedback-id",
    "importance",
    "incomplete-copy",
    "language",
    "latest-delivery-time",
    "message-type",
    "mt-priority",
    "obsoletes",
    "openpgp",
    "original-message-id",
    "original-recipient",
    "precedence",
    "prevent-nondelivery-report",
    "priority",
    "reply-by",
    "require-recipient-valid-since",
    "sensitivity",
    "solicitation",
    "supersedes",
    "thread-index",
    "tls-report-domain",
    "tls-report-submitter",
    "tls-required",
    "vbr-info",
];
/// Those without a registry: their readers expect tokens, ids or JSON.
const STRUCTURED_PREFIXES: [&str; 10] = [
    "list-",
    "x-auto-response-suppress",
    "x-entity-ref-id",
    "x-list-",
    "x-mailgun-",
    "x-message-id",
    "x-msmail-priority",
    "x-priority",
    "x-ses-",
    "x-smtpapi",
];

const TEXT: [&str; 4] = ["comments", "organisation", "organization", "thread-topic"];

/// Classifies a field by its name in lower case.
pub(super) fn kind_of(lower: &str) -> FieldKind {
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| lower.starts_with(prefix));
    if RESERVED.contains(&lower) || starts(&RESERVED_PREFIXES) {
        FieldKind::Reserved
    } else if ADDRESSES.contains(&lower) {
        FieldKind::Addresses
    } else if PHRASES.contains(&lower) {
        FieldKind::Phrases
    } else if STRUCTURED.contains(&lower) || starts(&STRUCTURED_PREFIXES) {
        FieldKind::Structured
    } else if TEXT.contains(&lower) || lower.starts_with("x-") {
        FieldKind::Text
    } else {
        FieldKind::Unknown
    }
}
