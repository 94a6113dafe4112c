use std::collections::HashMap;

use mailmesh_domain::TokenEndpointAuth;

use super::*;

fn client() -> Client {
    Client {
        client_id: "client".to_owned(),
        signer: None,
        client_secret: Some(SecretString::from("PLANTED")),
        auth: TokenEndpointAuth::ClientSecretBasic,
        redirect_uri: Url::parse("https://mesh.test/receiveTokenAuthentication.htm").unwrap(),
        scopes: vec!["openid".to_owned(), "https://mail.google.com/".to_owned()],
        protocol_scopes: Vec::new(),
        refresh_sends_scopes: false,
        identity_claim: None,
        extra_authorize: Vec::new(),
    }
}

fn endpoints(authorize: &str) -> Endpoints {
    let token = Url::parse("https://id.test/token").unwrap();
    Endpoints::new(Url::parse(authorize).unwrap(), token)
}

const REQUEST: AuthorizeRequest<'_> = AuthorizeRequest {
    state: "the state&",
    nonce: Some("the-nonce"),
    challenge: "challenge",
    login_hint: Some("jo@example.test"),
};

fn parameters(url: &Url) -> HashMap<String, String> {
    let mut found = HashMap::new();
    for (name, value) in url.query_pairs() {
        let before = found.insert(name.clone().into_owned(), value.into_owned());
        assert!(before.is_none(), "{name} is given twice in {url}");
    }
    found
}

#[test]
fn the_url_holds_everything_once_and_no_secret() {
    let mut client = client();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    client.extra_authorize = vec![
        pair("access_type", "offline"),
        pair("prompt", "consent"),
        pair("state", "forged"),
        pair("client_id", "forged"),
    ];
    // As pasted from the provider's instructions.
    let endpoints = endpoints("https://id.test/auth?prompt=&access_type=offline&tenant=a&scope=x");

    let url = authorize_url(&endpoints, &client, &REQUEST);

    let found = parameters(&url);
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", "client"),
        ("redirect_uri", client.redirect_uri.as_str()),
        ("scope", "openid https://mail.google.com/"),
        ("state", "the state&"),
        ("nonce", "the-nonce"),
        ("code_challenge", "challenge"),
        ("code_challenge_method", "S256"),
        ("login_hint", "jo@example.test"),
        ("access_type", "offline"),
        ("prompt", "consent"),
        ("tenant", "a"),
    ] {
        assert_eq!(found.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert_eq!(found.len(), 12);
    assert!(url.as_str().starts_with("https://id.test/auth?"));
    assert!(!url.as_str().contains("PLANTED"));
}

#[test]
fn a_nonce_is_sent_only_where_an_id_token_is_asked_for() {
    let mut client = client();
    client.scopes = vec!["mail-w".to_owned()];

    let url = authorize_url(&endpoints("https://id.test/auth"), &client, &REQUEST);

    assert!(!parameters(&url).contains_key("nonce"));
}

#[test]
fn pkce_pairs_are_fresh_and_fit() {
    let (one, other) = (Pkce::generate(), Pkce::generate());

    let verifier = one.verifier.expose_secret();
    assert!((43..=128).contains(&verifier.len()));
    assert_ne!(verifier, other.verifier.expose_secret());
    let by_crate = oauth2::PkceCodeChallenge::from_code_verifier_sha256(
        &oauth2::PkceCodeVerifier::new(verifier.to_owned()),
    );
    assert_eq!(one.challenge, by_crate.as_str());
    assert!(!format!("{one:?}").contains(verifier));
}

#[test]
fn an_answer_of_another_issuer_is_refused() {
    let mut endpoints = endpoints("https://id.test/auth");
    let check = |endpoints: &Endpoints, iss| check_issuer_parameter(endpoints, iss).is_ok();

    assert!(check(&endpoints, None) && check(&endpoints, Some("https://any.test")));

    endpoints.issuer = Some("https://id.test".to_owned());
    assert!(check(&endpoints, Some("https://id.test")) && check(&endpoints, None));
    assert!(!check(&endpoints, Some("https://evil.test")));
    assert!(
        !check(&endpoints, Some("https://id.test/")),
        "compared exactly"
    );

    endpoints.iss_parameter_supported = true;
    assert!(!check(&endpoints, None), "promised, so it must be there");
}
