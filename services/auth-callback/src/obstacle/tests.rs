use super::*;

#[test]
fn every_page_says_who_must_act_what_to_do_and_what_becomes_of_mail() {
    let refused =
        |error, words| Obstacle::OAuth(OAuthError::from_authorization_answer(error, words));
    for (obstacle, status, who) in [
        (Obstacle::UnknownLink, 404, MustAct::Administrator),
        (Obstacle::UsedLink, 410, MustAct::Administrator),
        (Obstacle::UnknownState, 400, MustAct::MailboxOwner),
        (Obstacle::OtherBrowser, 400, MustAct::MailboxOwner),
        (Obstacle::NoCode, 400, MustAct::MailboxOwner),
        (Obstacle::NothingToSignIn, 409, MustAct::Administrator),
        (Obstacle::OtherClient, 409, MustAct::MailboxOwner),
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
        (Obstacle::NoRefreshToken, 403, MustAct::MailboxOwner),
        (Obstacle::Busy, 503, MustAct::MailboxOwner),
    ] {
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
