//! What a provider's codes say, as far as it decides who must act.

use mailmesh_domain::FailureCause;

/// Returns the cause behind one of Microsoft's numbers, from the Entra error reference
/// (`reference-error-codes`); the grouping is ours.
pub(crate) const fn of_aadsts(code: u32) -> Option<FailureCause> {
    Some(match code {
        70000 | 70008 | 700_082 | 700_084 | 50173 | 70043 | 50089 | 50132 | 50133 | 50055
        | 50144 | 50085 | 700_020 => FailureCause::GrantDead,
        50072 | 50074 | 50076 | 50078 | 50079 | 50158 | 53004 => FailureCause::Interaction,
        65001 => FailureCause::Consent,
        65004 => FailureCause::Declined,
        90094 | 90095 | 90008 => FailureCause::AdministratorConsent,
        // Conditional Access that asks for a device: registered, joined, compliant, managed, with a broker.
        53000 | 53001 | 530_002..=530_004 | 50097 | 50127 | 50129 | 50155 | 50187 => {
            FailureCause::DevicePolicy
        }
        // Every further number of Conditional Access (530xxx), documented or not, is a rule of the tenant.
        53002 | 53003 | 53010 | 53011 | 530_000..=530_999 | 50131 | 50105 | 50005 => {
            FailureCause::Policy
        }
        50034 | 50020 | 50014 | 51004 | 500_208 | 16000 => FailureCause::WrongAccount,
        50057 => FailureCause::AccountDisabled,
        7_000_222 => FailureCause::SecretExpired,
        7_000_215 | 70002 | 7_000_218 | 700_025 | 700_016 | 70001 | 7_000_112 => {
            FailureCause::ClientRefused
        }
        // The certificate is not registered, has ended, or its signature does not fit.
        700_027 | 50012 | 50013 => FailureCause::KeyRefused,
        700_024 => FailureCause::ClockOff,
        50194 | 9_001_023 | 90124 | 90130 | 9_002_332 | 50011 | 90002 | 90038 | 900_382
        | 900_432 | 700_005 => FailureCause::ClientMisconfigured,
        70011 | 28002 | 28003 | 700_022 | 700_023 | 500_011 | 650_052 | 650_057 | 65005 | 90009 => {
            FailureCause::Scope
        }
        50033 | 50087 | 50088 | 90006 | 90012 | 90024 | 90033 | 90090 | 70012 | 50000 => {
            FailureCause::Transient
        }
        90055 => FailureCause::Throttled,
        // Asked for the same token too often: asking again at once makes it worse.
        50053 | 50196 => FailureCause::Locked,
        54005 | 501_481 => FailureCause::CodeSpent,
        _ => return None,
    })
}

/// Returns the cause behind a `suberror` of Entra or an `error_subtype` of Google that is more telling than `error`.
pub(crate) fn of_subtype(subtype: &str) -> Option<FailureCause> {
    Some(match canonical(subtype).as_str() {
        "protection_policy_required" | "device_authentication_failed" => FailureCause::DevicePolicy,
        "admin_policy_enforced" => FailureCause::Policy,
        "invalid_rapt" => FailureCause::Interaction,
        "consent_required" => FailureCause::Consent,
        _ => return None,
    })
}

/// Returns the cause behind an `error` of RFC 6749, OpenID Connect, RFC 6750, or Google.
pub(crate) fn of_error(error: &str) -> Option<FailureCause> {
    Some(match canonical(error).as_str() {
        // The others are what GitHub, Xero and servers of their kind call it.
        "invalid_grant"
        | "bad_refresh_token"
        | "invalid_refresh_token"
        | "expired_refresh_token"
        | "refresh_token_expired"
        | "refresh_token_invalid"
        | "refresh_token_revoked" => FailureCause::GrantDead,
        "interaction_required" | "login_required" | "account_selection_required" => {
            FailureCause::Interaction
        }
        "consent_required" => FailureCause::Consent,
        "access_denied" => FailureCause::Declined,
        "admin_policy_enforced" => FailureCause::Policy,
        "org_internal" => FailureCause::WrongAccount,
        "invalid_client" | "unauthorized_client" | "deleted_client" | "disabled_client" => {
            FailureCause::ClientRefused
        }
        "redirect_uri_mismatch"
        | "disallowed_useragent"
        | "unsupported_grant_type"
        | "unsupported_response_type" => FailureCause::ClientMisconfigured,
        "invalid_scope" | "insufficient_scope" => FailureCause::Scope,
        "invalid_request" => FailureCause::BadRequest,
        "temporarily_unavailable" | "server_error" | "internal_failure" => FailureCause::Transient,
        "slow_down" | "rate_limit_exceeded" | "too_many_requests" => FailureCause::Throttled,
        _ => return None,
    })
}

/// Returns the cause behind the refusal of a statement that a client acts for a mailbox. Google says `invalid_grant` of four
/// different things and gives no code besides, so that its fixed English texts are all there is to tell them apart; words that are
/// new fall to the row that names them all.
pub(crate) fn of_statement(known: FailureCause, error: Option<&str>, words: &str) -> FailureCause {
    let begins = |texts: &[&str]| texts.iter().any(|text| words.starts_with(text));
    match known {
        FailureCause::GrantDead if begins(&["Invalid JWT Signature"]) => FailureCause::KeyRefused,
        FailureCause::GrantDead if begins(&["Invalid JWT: Token must be a short-lived token"]) => {
            FailureCause::ClockOff
        }
        FailureCause::GrantDead
            if begins(&[
                "Invalid grant: account not found",
                "Invalid email or User ID",
            ]) =>
        {
            FailureCause::LoginUnknown
        }
        FailureCause::GrantDead => FailureCause::StatementRefused,
        // Of one mailbox outside of the tenant as well, so it says nothing of the others.
        FailureCause::ClientRefused if error == Some("unauthorized_client") => {
            FailureCause::NotDelegated
        }
        other => other,
    }
}

/// RFC 6749 writes `invalid_grant`; others write `INVALID_GRANT`, `invalid-grant`, `InvalidGrant` or a URN that ends so.
fn canonical(word: &str) -> String {
    let word = word.rsplit([':', '/', '#']).next().unwrap_or(word).trim();
    let mut snake = String::with_capacity(word.len() + 4);
    let mut after_lower = false;
    for letter in word.chars() {
        if letter.is_ascii_uppercase() && after_lower {
            snake.push('_');
        }
        after_lower = letter.is_ascii_lowercase();
        snake.push(match letter {
            '-' | ' ' | '.' => '_',
            other => other.to_ascii_lowercase(),
        });
    }
    snake
}

/// Returns the cause behind a status that came without an OAuth error.
pub(crate) const fn of_status(status: u16) -> Option<FailureCause> {
    match status {
        429 => Some(FailureCause::Throttled),
        408 | 425 | 500..=599 => Some(FailureCause::Transient),
        _ => None,
    }
}
