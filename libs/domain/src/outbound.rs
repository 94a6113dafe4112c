use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::account::named;

named! {
    /// Where an outbound mail stands.
    OutboundState as "outbound state" {
        /// Waits for its due time.
        Queued = "queued",
        /// An attempt is under way.
        Sending = "sending",
        /// Every recipient has an end state and at least one accepted it.
        Sent = "sent",
        /// No recipient accepted it.
        Failed = "failed",
        /// The server may have it: the connection was lost after the final dot.
        Uncertain = "uncertain",
        /// Taken back before it was sent.
        Cancelled = "cancelled",
    }
}

named! {
    /// The stage that an attempt is about to enter, recorded before it does.
    AttemptStage as "attempt stage" {
        /// Connecting, authenticating, naming the envelope, sending content: surely unsent if it ends here.
        Started = "started",
        /// The final dot may have been sent: unknown if it ends here.
        FinalDot = "final_dot",
        /// The server's reply was recorded.
        Finished = "finished",
    }
}

named! {
    /// What to do with a mail whose delivery stays unknown.
    UncertainPolicy as "uncertain policy" {
        /// Keep it for a person to decide.
        Hold = "hold",
        /// Send again, accepting a possible duplicate.
        Resend = "resend",
        /// Count it as sent.
        AssumeSent = "assume_sent",
    }
}
