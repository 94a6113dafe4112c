use mailmesh_oauth::IdTokenError;

use super::*;

fn obstacles() -> Vec<(Obstacle, u16, MustAct)> {
    let refused =
        |error, words| Obstacle::OAuth(OAuthError::from_authorization_answer(error, words));
    vec![
        (Obstacle::UnknownLink, 404, MustAct::Administrator),
        (Obstacle::UsedLink, 410, MustAct::Administrator),
        (Obstacle::UnknownState, 400, MustAct::MailboxOwner),
        (Obstacle::OtherBrowser, 400, MustAct::MailboxOwner),
        (Obstacle::NoCode, 400, MustAct::MailboxOwner),
        (Obstacle::NothingToSignIn, 409, MustAct::Administrator),
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
            Obstacle::OAuth(OAuthError::MixedUp),
            403,
            MustAct::MailboxOwner,
        ),
        (
            Obstacle::Provider(ProviderError::BadUrl { field: "issuer" }),
            500,
            MustAct::Administrator,
        ),
        (
            Obstacle::MissingScopes {
                scopes: vec!["mail".to_owned()],
            },
            403,
            MustAct::MailboxOwner,
        ),
        (
            Obstacle::NoRefreshToken { is_asked: true },
            403,
            MustAct::MailboxOwner,
        ),
        (
            Obstacle::NoRefreshToken { is_asked: false },
            403,
            MustAct::Administrator,
        ),
        (refused("what_is_this", None), 502, MustAct::Administrator),
        (Obstacle::Busy, 503, MustAct::MailboxOwner),
    ]
}

#[test]
fn every_page_says_who_must_act_what_to_do_and_what_becomes_of_mail() {
    for (obstacle, status, who) in obstacles() {
        let page = obstacle.page();
        assert_eq!(
            (page.status, page.must_act),
            (status, Some(who)),
            "{obstacle}"
        );
        assert!(
            page.action.is_some_and(|action| action.ends_with('.')),
            "{obstacle}"
        );
        assert!(
            page.mail.is_some() && page.what.ends_with('.'),
            "{obstacle}"
        );
    }
}

#[test]
fn nobody_is_sent_to_a_link_that_has_ended() {
    let refused = |error| Obstacle::OAuth(OAuthError::from_authorization_answer(error, None));
    for obstacle in [
        Obstacle::OtherBrowser,
        Obstacle::NoCode,
        Obstacle::OtherClient,
        Obstacle::OAuth(OAuthError::MixedUp),
        Obstacle::OAuth(OAuthError::IdToken(IdTokenError::Nonce)),
        Obstacle::OAuth(OAuthError::IdToken(IdTokenError::Subject)),
        Obstacle::OAuth(OAuthError::IdToken(IdTokenError::Audience)),
        Obstacle::OAuth(OAuthError::NoMailbox {
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
        Obstacle::Provider(ProviderError::BadUrl { field: "issuer" }),
        Obstacle::MissingScopes { scopes: Vec::new() },
        Obstacle::OtherMailbox {
            expected: String::new(),
            signed_in: String::new(),
            claim: None,
        },
        Obstacle::NoRefreshToken { is_asked: true },
        Obstacle::NoRefreshToken { is_asked: false },
        Obstacle::Encode(serde::de::Error::custom("")),
    ] {
        let action = obstacle.page().action.unwrap_or_default();
        assert!(action.contains("new link"), "{obstacle}: {action}");
        let old = ["its link", "link that you were given", "the link again"];
        assert!(
            !old.iter().any(|old| action.contains(old)),
            "{obstacle}: {action}"
        );
    }
}

#[test]
fn a_mismatch_names_both_mailboxes() {
    let page = Obstacle::OtherMailbox {
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
    let page = Obstacle::OAuth(error).page();

    let told: Vec<&str> = page.facts.iter().map(|(_, value)| value.as_str()).collect();
    assert_eq!(told, ["access_denied", "The owner declined"]);
}
