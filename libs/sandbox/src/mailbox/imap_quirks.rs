/// How a mailbox deviates when it is read over IMAP; the default does not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImapQuirks {
    /// Sends the whole body whatever part of it is asked for.
    pub ignores_ranges: bool,
    /// Maximum octets of a body in one answer, whatever is asked for.
    pub answered_at_most: Option<usize>,
    /// UIDs of two mails over which a session ends: a body of them is announced and never comes.
    pub broken: [Option<u32>; 2],
    /// Tells the same INTERNALDATE of all mails.
    pub dates_alike: bool,
    /// Ends each session as soon as it idles, after it has consented.
    pub ends_idle: bool,
}
