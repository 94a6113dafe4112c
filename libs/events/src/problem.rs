use mailmesh_domain::{
    FailureCause, History, MustAct, Responsibility, Verdict, VerdictKind, responsibility,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A failure, as a person needs it told: what happened, the remote side's code, who must act, what
/// to do, and whether mail is safe meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// What happened, in one sentence.
    pub what: String,
    /// The remote side's own code, such as `535 5.7.3` or `AADSTS7000222`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What the failure means for the work that met it.
    pub kind: VerdictKind,
    /// Who must act before it can succeed.
    pub must_act: MustAct,
    /// Who else may be able to mend it, where the remote side does not say which of the two it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub also_must_act: Option<MustAct>,
    /// What that person should do, in one sentence.
    pub action: String,
    /// What becomes of mail meanwhile, in one sentence.
    pub mail: String,
}

impl Problem {
    /// Describes a failure of work that goes on, or went on a moment ago.
    pub fn new(what: impl Into<String>, cause: FailureCause) -> Self {
        Self::decided(what, &responsibility(cause, History::WORKS))
    }

    /// Describes a failure with what was decided on it.
    pub fn decided(what: impl Into<String>, decided: &Responsibility) -> Self {
        Self {
            what: what.into(),
            code: None,
            kind: decided.verdict.kind,
            must_act: decided.verdict.who,
            also_must_act: decided.also,
            action: decided.action.to_owned(),
            mail: String::new(),
        }
    }

    /// Returns the verdict that was passed, without the remote side's hint.
    pub const fn verdict(&self) -> Verdict {
        Verdict {
            kind: self.kind,
            who: self.must_act,
            retry_after: None,
        }
    }

    /// Returns what happened with the remote side's code, which stands there once, and without a full stop.
    pub fn what_with_code(&self) -> String {
        let what = self.what.trim_end_matches('.');
        match &self.code {
            Some(code) if !what.contains(code.as_str()) => format!("{what} ({code})"),
            _ => what.to_owned(),
        }
    }

    /// Returns whether a new sign-in by the mailbox's owner is, or may be, the cure.
    pub fn offers_sign_in(&self) -> bool {
        self.kind == VerdictKind::NeedsSignIn || self.also_must_act == Some(MustAct::MailboxOwner)
    }

    /// Adds the remote side's own code.
    #[must_use]
    pub fn with_code(mut self, code: Option<String>) -> Self {
        self.code = code;
        self
    }

    /// Says what becomes of mail meanwhile.
    #[must_use]
    pub fn with_mail(mut self, mail: impl Into<String>) -> Self {
        self.mail = mail.into();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_that_was_told_is_not_told_again() {
        let told = |what: &str| {
            Problem::new(what, FailureCause::Unknown)
                .with_code(Some("535 5.7.8".to_owned()))
                .what_with_code()
        };

        assert_eq!(told("refused with 535 5.7.8."), "refused with 535 5.7.8");
        assert_eq!(told("refused."), "refused (535 5.7.8)");
    }
}
