use mailmesh_domain::{MustAct, Responsibility, Verdict, VerdictKind};
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
    /// Describes a failure with the verdict that was passed on it.
    pub fn new(what: impl Into<String>, verdict: Verdict) -> Self {
        Self {
            what: what.into(),
            code: None,
            kind: verdict.kind,
            must_act: verdict.who,
            also_must_act: None,
            action: default_action(verdict).to_owned(),
            mail: String::new(),
        }
    }

    /// Describes a failure with what was decided on it.
    pub fn decided(what: impl Into<String>, decided: &Responsibility) -> Self {
        Self {
            also_must_act: decided.also,
            action: decided.action.to_owned(),
            ..Self::new(what, decided.verdict)
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
        [Some(self.must_act), self.also_must_act].contains(&Some(MustAct::MailboxOwner))
    }

    /// Adds the remote side's own code.
    #[must_use]
    pub fn with_code(mut self, code: Option<String>) -> Self {
        self.code = code;
        self
    }

    /// Says what the person who must act should do.
    #[must_use]
    pub fn with_action(mut self, action: impl Into<String>) -> Self {
        self.action = action.into();
        self
    }

    /// Says what becomes of mail meanwhile.
    #[must_use]
    pub fn with_mail(mut self, mail: impl Into<String>) -> Self {
        self.mail = mail.into();
        self
    }
}

const fn default_action(verdict: Verdict) -> &'static str {
    match (verdict.kind, verdict.who) {
        (VerdictKind::NeedsSignIn, _) => "Sign in again for this account.",
        (VerdictKind::Transient | VerdictKind::Throttled, _) => {
            "Nothing: it is tried again by itself."
        }
        (_, MustAct::TenantAdministrator) => {
            "Ask the administrator of the provider's tenant to change the setting named here."
        }
        (_, MustAct::MailboxOwner) => "Ask the mailbox owner to correct it.",
        (_, MustAct::Administrator) => "Correct the account or client configuration.",
        (VerdictKind::Permanent, MustAct::Nobody) => {
            "Trying again would not help: correct what is named here, and send it as a new mail."
        }
        (_, MustAct::Nobody) => "Nothing.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_that_was_told_is_not_told_again() {
        let told = |what: &str| {
            Problem::new(what, Verdict::unknown())
                .with_code(Some("535 5.7.8".to_owned()))
                .what_with_code()
        };

        assert_eq!(told("refused with 535 5.7.8."), "refused with 535 5.7.8");
        assert_eq!(told("refused."), "refused (535 5.7.8)");
    }
}
