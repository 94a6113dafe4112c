use std::time::Duration;

use mailmesh_domain::{MustAct, Verdict};

/// Why a provider refused, as far as it decides what happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefusalCause {
    /// The grant is dead: expired, revoked, password changed.
    GrantDead,
    /// The provider asks for an interactive sign-in: second factor, new terms, password change.
    Interaction,
    /// The person has not agreed, or not to all.
    Consent,
    /// The person said no.
    Declined,
    /// The code or the verifier does not fit: used twice, too old, another sign-in.
    CodeSpent,
    /// Only an administrator of the tenant may agree.
    AdministratorConsent,
    /// A rule of the tenant forbids it.
    Policy,
    /// Another account or tenant than this client accepts.
    WrongAccount,
    /// The account is blocked or disabled.
    AccountDisabled,
    /// The client's secret is past its date.
    SecretExpired,
    /// The client's id, secret or kind of proof is wrong, or the client is gone.
    ClientRefused,
    /// The authority, tenant or redirect URI of the client configuration is wrong.
    ClientMisconfigured,
    /// The scopes are unknown or not allowed for this client.
    Scope,
    /// The request itself is malformed.
    BadRequest,
    /// Passes by itself.
    Transient,
    /// The provider asks for fewer requests.
    Throttled,
    /// The account or our address is locked for a while.
    Locked,
    /// Fits no rule.
    Unknown,
}

impl RefusalCause {
    /// Returns the cause behind one of Microsoft's numbers, from the Entra error reference
    /// (`reference-error-codes`); the grouping is ours.
    pub(crate) const fn of_aadsts(code: u32) -> Option<Self> {
        Some(match code {
            70000 | 70008 | 700_082 | 700_084 | 50173 | 70043 | 50089 | 50132 | 50133 | 50055
            | 50144 | 50085 | 700_020 => Self::GrantDead,
            50072 | 50074 | 50076 | 50078 | 50079 | 50158 | 53004 => Self::Interaction,
            65001 => Self::Consent,
            65004 => Self::Declined,
            90094 | 90095 | 90008 => Self::AdministratorConsent,
            53000..=53003 | 53011 | 530_032 | 530_035 | 50131 | 50105 | 50097 | 50005 => {
                Self::Policy
            }
            50034 | 50020 | 50014 | 51004 | 500_208 | 16000 => Self::WrongAccount,
            50057 => Self::AccountDisabled,
            7_000_222 => Self::SecretExpired,
            7_000_215 | 70002 | 7_000_218 | 700_025 | 700_027 | 50012 | 50013 | 700_016 | 70001
            | 7_000_112 => Self::ClientRefused,
            50194 | 9_001_023 | 90124 | 90130 | 9_002_332 | 50011 | 90002 | 90038 | 900_382
            | 900_432 | 700_005 => Self::ClientMisconfigured,
            70011 | 28002 | 28003 | 700_022 | 700_023 | 500_011 | 650_052 | 650_057 | 65005
            | 90009 => Self::Scope,
            50033 | 50087 | 50088 | 90006 | 90012 | 90024 | 90033 | 90090 | 70012 | 50000 => {
                Self::Transient
            }
            90055 => Self::Throttled,
            // Asked for the same token too often: asking again at once makes it worse.
            50053 | 50196 => Self::Locked,
            54005 | 501_481 => Self::CodeSpent,
            _ => return None,
        })
    }

    /// Returns the cause behind an `error` of RFC 6749, OpenID Connect, RFC 6750, or Google.
    pub(crate) fn of_error(error: &str) -> Option<Self> {
        Some(match error {
            "invalid_grant" => Self::GrantDead,
            "interaction_required" | "login_required" | "account_selection_required" => {
                Self::Interaction
            }
            "consent_required" => Self::Consent,
            "access_denied" => Self::Declined,
            "admin_policy_enforced" => Self::Policy,
            "org_internal" => Self::WrongAccount,
            "invalid_client" | "unauthorized_client" | "deleted_client" | "disabled_client" => {
                Self::ClientRefused
            }
            "redirect_uri_mismatch"
            | "disallowed_useragent"
            | "unsupported_grant_type"
            | "unsupported_response_type" => Self::ClientMisconfigured,
            "invalid_scope" | "insufficient_scope" => Self::Scope,
            "invalid_request" => Self::BadRequest,
            "temporarily_unavailable" | "server_error" | "internal_failure" => Self::Transient,
            "slow_down" | "rate_limit_exceeded" | "too_many_requests" => Self::Throttled,
            _ => return None,
        })
    }

    /// Returns the cause behind a status that came without an OAuth error.
    pub(crate) const fn of_status(status: u16) -> Option<Self> {
        match status {
            429 => Some(Self::Throttled),
            408 | 425 | 500..=599 => Some(Self::Transient),
            _ => None,
        }
    }

    pub(crate) const fn concerns_client(self) -> bool {
        matches!(
            self,
            Self::SecretExpired | Self::ClientRefused | Self::ClientMisconfigured
        )
    }

    pub(crate) const fn verdict(self, hint: Option<Duration>) -> Verdict {
        let verdict = match self {
            Self::GrantDead
            | Self::Interaction
            | Self::Consent
            | Self::Declined
            | Self::CodeSpent
            | Self::WrongAccount => Verdict::needs_sign_in(),
            Self::AdministratorConsent | Self::Policy | Self::AccountDisabled => {
                Verdict::needs_administrator(MustAct::TenantAdministrator)
            }
            Self::SecretExpired | Self::ClientRefused | Self::ClientMisconfigured | Self::Scope => {
                Verdict::needs_administrator(MustAct::Administrator)
            }
            Self::BadRequest => Verdict::permanent(MustAct::Administrator),
            Self::Transient => Verdict::transient(),
            Self::Throttled => Verdict::throttled(None),
            Self::Locked => Verdict::throttled(Some(Duration::from_mins(15))),
            Self::Unknown => Verdict::unknown(),
        };
        match hint {
            Some(delay) => verdict.after(delay),
            None => verdict,
        }
    }

    pub(crate) const fn action(self) -> &'static str {
        match self {
            Self::GrantDead => {
                "Sign in again for this mailbox: the provider no longer accepts the earlier sign-in."
            }
            Self::Interaction => {
                "Sign in again for this mailbox: the provider wants to see its owner, for example for a second factor."
            }
            Self::Consent => {
                "Sign in again and agree to everything that is asked. If agreeing is not offered, the administrator of the tenant has to do it."
            }
            Self::Declined => "Sign in again and agree: the request was declined at the provider.",
            Self::CodeSpent => {
                "Sign in once more: this sign-in was used already, took too long, or was mixed up with another."
            }
            Self::AdministratorConsent => {
                "Ask the administrator of the tenant to grant this application consent, then sign in again."
            }
            Self::Policy => {
                "Ask the administrator of the tenant to allow this application and this server's address in its access rules, then sign in again."
            }
            Self::WrongAccount => {
                "Sign in with an account that belongs to the tenant of this client configuration, or correct the tenant in the configuration."
            }
            Self::AccountDisabled => {
                "Ask the administrator of the tenant to enable the account, then sign in again."
            }
            Self::SecretExpired => {
                "Create a new client secret at the provider and store its value in the client configuration. Mailboxes that are connected need no new sign-in."
            }
            Self::ClientRefused => {
                "Check client id, client secret (its value, not its id) and authentication method in the client configuration, and that the application still exists at the provider. Mailboxes that are connected need no new sign-in."
            }
            Self::ClientMisconfigured => {
                "Correct the client configuration: base URL or tenant, redirect URI and application type must be those registered at the provider."
            }
            Self::Scope => {
                "Correct the scopes in the client configuration, and allow them for the application at the provider."
            }
            Self::BadRequest => {
                "Compare the client configuration with the provider's instructions: it calls the request malformed."
            }
            Self::Transient => "Nothing: it is tried again by itself.",
            Self::Throttled | Self::Locked => {
                "Nothing: the provider asked to wait, and it is tried again by itself."
            }
            Self::Unknown => {
                "It is tried again a few times. If it stays, look the provider's code up in its documentation and check the client configuration."
            }
        }
    }
}
