/// How a mailbox deviates when it is read over IMAP; the default does not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImapQuirks {
    /// Sends the whole body whatever part of it is asked for.
    pub ignores_ranges: bool,
    /// Maximum octets of a body in one answer, whatever is asked for.
    pub answered_at_most: Option<usize>,
    /// Ends each session as soon as it idles, after it has consented.
    pub ends_idle: bool,
}
