use mailmesh_domain::ManualClock;

use super::*;

fn book(personality: Personality) -> (TokenBook, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::starting_at(OffsetDateTime::UNIX_EPOCH));
    let book = TokenBook::new(Arc::clone(&clock) as Arc<dyn Clock>, personality, 3_600);
    (book, clock)
}

fn request() -> GrantRequest {
    GrantRequest {
        address: "Ann@sandbox.test".to_owned(),
        client_id: "mesh".to_owned(),
        scopes: vec!["mail".to_owned(), "email".to_owned()],
        offline: true,
    }
}

#[test]
fn access_token_lives_as_long_as_it_says() {
    let (book, clock) = book(Personality::Standard);
    let set = book.issue(&request());

    clock.advance(std::time::Duration::from_secs(3_599));
    let holder = book.check_access(&set.access_token).unwrap();
    assert_eq!(holder.address, "ann@sandbox.test");

    clock.advance(std::time::Duration::from_secs(1));
    let refused = book.check_access(&set.access_token);
    assert_eq!(refused, Err(TokenRefusal::Expired));
}

#[test]
fn second_use_of_a_rotated_token_revokes_the_family() {
    let (book, _) = book(Personality::Standard);
    let first = book.issue(&request()).refresh_token.unwrap();
    let second = book.refresh(&first, "mesh", None).unwrap();

    let reused = book.refresh(&first, "mesh", None).unwrap_err();

    assert_eq!(reused, RefreshRefusal::Reused);
    assert_eq!(
        book.check_access(&second.access_token),
        Err(TokenRefusal::Revoked)
    );
    let later = book.refresh(&second.refresh_token.unwrap(), "mesh", None);
    assert_eq!(later.unwrap_err(), RefreshRefusal::Revoked);
}

#[test]
fn old_microsoft_refresh_tokens_stay_valid() {
    let (book, _) = book(Personality::Microsoft);
    let first = book.issue(&request()).refresh_token.unwrap();

    let second = book.refresh(&first, "mesh", None).unwrap();
    let again = book.refresh(&first, "mesh", None).unwrap();

    assert!(second.refresh_token.is_some_and(|token| token != first));
    assert!(again.refresh_token.is_some());
}

#[test]
fn google_keeps_the_refresh_token_it_gave() {
    let (book, _) = book(Personality::Google);
    let first = book.issue(&request()).refresh_token.unwrap();

    assert_eq!(
        book.refresh(&first, "mesh", None).unwrap().refresh_token,
        None
    );
    assert!(book.refresh(&first, "mesh", None).is_ok());
}

#[test]
fn revoking_at_google_kills_the_sibling_grant() {
    let (book, _) = book(Personality::Google);
    let (one, other) = (book.issue(&request()), book.issue(&request()));

    assert!(book.revoke(&one.access_token));

    let refused = book.check_access(&other.access_token);
    assert_eq!(refused, Err(TokenRefusal::Revoked));
}

#[test]
fn refresh_is_refused_to_another_client_and_for_wider_scopes() {
    let (book, _) = book(Personality::Standard);
    let token = book.issue(&request()).refresh_token.unwrap();

    let stolen = book.refresh(&token, "other", None).unwrap_err();
    let wider = book.refresh(&token, "mesh", Some(&["calendar".to_owned()]));

    assert_eq!(stolen, RefreshRefusal::WrongClient);
    assert_eq!(wider.unwrap_err(), RefreshRefusal::ScopeTooWide);
    assert!(book.refresh(&token, "mesh", None).is_ok());
}

#[test]
fn expiring_by_address_spares_the_refresh_token() {
    let (book, _) = book(Personality::Standard);
    let set = book.issue(&request());

    assert_eq!(book.expire_access("ann@sandbox.test"), 1);

    let refused = book.check_access(&set.access_token);
    assert_eq!(refused, Err(TokenRefusal::Expired));
    assert!(
        book.refresh(&set.refresh_token.unwrap(), "mesh", None)
            .is_ok()
    );
}

#[test]
fn long_tokens_exercise_two_step_sign_in() {
    let (book, _) = book(Personality::Microsoft);
    assert!(book.issue(&request()).access_token.len() > 1_000);
}

#[test]
fn hundred_and_first_google_token_kills_the_oldest() {
    let (book, _) = book(Personality::Google);
    let tokens: Vec<String> = (0..101)
        .filter_map(|_| book.issue(&request()).refresh_token)
        .collect();

    let oldest = book.refresh(&tokens[0], "mesh", None).unwrap_err();

    assert_eq!(oldest, RefreshRefusal::Revoked);
    assert!(book.refresh(&tokens[1], "mesh", None).is_ok());
}

#[test]
fn microsoft_token_serves_the_first_resource_alone() {
    let (book, _) = book(Personality::Microsoft);
    let mut request = request();
    let scopes = [
        "openid",
        "https://outlook.office.com/IMAP.AccessAsUser.All",
        "https://graph.microsoft.com/Mail.Read",
        "https://outlook.office365.com/SMTP.Send",
    ];
    request.scopes = scopes.map(str::to_owned).to_vec();

    let first = book.issue(&request);
    let graph = [scopes[2].to_owned()];
    let second = book.refresh(&first.refresh_token.unwrap(), "mesh", Some(&graph));

    assert_eq!(first.scopes, [scopes[0], scopes[1], scopes[3]]);
    assert_eq!(second.unwrap().scopes, [scopes[2]]);
}
