/// What a failure concerns, and so what else need not be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concern {
    /// This mail.
    Mail,
    /// This folder; others of the account go on.
    Folder,
    /// This session; another may work.
    Session,
    /// Everything of the account.
    Account,
    /// Everything that goes to this server.
    Host,
}

/// How much a failure says against the mail that was asked for alone when it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MailEvidence {
    /// Nothing: it is about something else.
    None,
    /// Little: the connection was lost, or the server calls itself unavailable, over this mail or by chance.
    Weak,
    /// The server has the mail and cannot show it, or what it shows cannot be read.
    Strong,
    /// It will never be different.
    Certain,
}
