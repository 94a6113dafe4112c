use mailmesh_oauth::IdTokenError;

use super::*;

fn obstacles() -> Vec<(SignInFailure, u16, MustAct)> {
    let refused =
        |error, words| SignInFailure::OAuth(OAuthError::from_authorization_answer(error, words));
    vec![
        (SignInFailure::UnknownLink, 404, MustAct::Administrator),
        (SignInFailure::UsedLink, 410, MustAct::Administrator),
        (SignInFailure::UnknownState, 400, MustAct::MailboxOwner),
        (SignInFailure::OtherBrowser, 400, MustAct::MailboxOwner),
        (SignInFailure::NoCode, 400, MustAct::MailboxOwner),
        (SignInFailure::NothingToSignIn, 409, MustAct::Administrator),
        (refused("access_denied", None), 403, MustAct::MailboxOwner),
        (
            refused("temporarily_unavailable", None),
            503,
            MustAct::MailboxOwner,
        ),
        (
            refused("admin_policy_enforced", None),
            502,
            MustAct::TenantAdministrator,
        ),
        (
            refused("invalid_scope", Some("no such scope")),
            502,
            MustAct::Administrator,
        ),
        (
            SignInFailure::OAuth(OAuthError::MixedUp),
            403,
            MustAct::MailboxOwner,
        ),
        (
            SignInFailure::Provider(ProviderError::BadUrl { field: "issuer" }),
            500,
            MustAct::Administrator,
        ),
        (
            SignInFailure::MissingScopes {
                scopes: vec!["mail".to_owned()],
            },
            403,
            MustAct::MailboxOwner,
        ),
        (
            SignInFailure::NoRefreshToken { is_asked: true },
            403,
            MustAct::MailboxOwner,
        ),
        (
            SignInFailure::NoRefreshToken { is_asked: false },
            403,
            MustAct::Administrator,
        ),
        (refused("what_is_this", None), 502, MustAct::Administrator),
        (SignInFailure::Busy, 503, MustAct::MailboxOwner),
    ]
}

#[test]
fn every_page_says_who_must_act_what_to_do_and_what_becomes_of_mail() {
    for (failure, status, who) in obstacles() {
        let page = failure.page();
        assert_eq!(
            (page.status, page.must_act),
            (status, Some(who)),
            "{failure}"
        );
        assert!(
            page.action.is_some_and(|action| action.ends_with('.')),
            "{failure}"
        );
        assert!(page.mail.is_some() && page.what.ends_with('.'), "{failure}");
    }
}

#[test]
fn nobody_is_sent_to_a_link_that_has_ended() {
    let refused = |error| SignInFailure::OAuth(OAuthError::from_authorization_answer(error, None));
    for failure in [
        SignInFailure::OtherBrowser,
        SignInFailure::NoCode,
        SignInFailure::OtherClient,
        SignInFailure::OAuth(OAuthError::MixedUp),
        SignInFailure::OAuth(OAuthError::IdToken(IdTokenError::Nonce)),
        SignInFailure::OAuth(OAuthError::IdToken(IdTokenError::Subject)),
        SignInFailure::OAuth(OAuthError::IdToken(IdTokenError::Audience)),
        SignInFailure::OAuth(OAuthError::NoMailbox {
            looked_at: vec!["email".to_owned()],
        }),
        refused("access_denied"),
        refused("consent_required"),
        refused("interaction_required"),
        refused("invalid_scope"),
        refused("unauthorized_client"),
        refused("admin_policy_enforced"),
        refused("temporarily_unavailable"),
        refused("what_is_this"),
        SignInFailure::Provider(ProviderError::BadUrl { field: "issuer" }),
        SignInFailure::MissingScopes { scopes: Vec::new() },
        SignInFailure::OtherMailbox {
            expected: String::new(),
            signed_in: String::new(),
            claim: None,
        },
        SignInFailure::NoRefreshToken { is_asked: true },
        SignInFailure::NoRefreshToken { is_asked: false },
        SignInFailure::Encode(serde::de::Error::custom("")),
    ] {
        let action = failure.page().action.unwrap_or_default();
        assert!(action.contains("new link"), "{failure}: {action}");
        let old = ["its link", "link that you were given", "the link again"];
        assert!(
            !old.iter().any(|old| action.contains(old)),
            "{failure}: {action}"
        );
    }
}

#[test]
fn a_mismatch_names_both_mailboxes() {
    let page = SignInFailure::OtherMailbox {
        expected: "support@example.org".to_owned(),
        signed_in: "me@example.org".to_owned(),
        claim: Some("email".to_owned()),
    }
    .page();

    let told: Vec<&str> = page.facts.iter().map(|(_, value)| value.as_str()).collect();
    assert_eq!(told, ["support@example.org", "me@example.org", "email"]);
}

#[test]
fn the_providers_code_and_words_are_shown() {
    let error = OAuthError::from_authorization_answer("access_denied", Some("The owner declined"));
    let page = SignInFailure::OAuth(error).page();

    let told: Vec<&str> = page.facts.iter().map(|(_, value)| value.as_str()).collect();
    assert_eq!(told, ["access_denied", "The owner declined"]);
}
