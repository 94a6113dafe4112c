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
        /// The provider may have it: its reply to the handover was lost.
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
        /// From here on the provider may have the mail: unknown if it ends here.
        #[serde(alias = "final_dot")]
        Committing = "committing",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stage_of_events_before_it_was_renamed_still_decodes() {
        for name in ["\"final_dot\"", "\"committing\""] {
            let stage: AttemptStage = serde_json::from_str(name).unwrap();

            assert_eq!(stage, AttemptStage::Committing);
            assert_eq!(serde_json::to_string(&stage).unwrap(), "\"committing\"");
        }
    }
}
