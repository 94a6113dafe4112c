use super::*;

fn parse(json: &str) -> Option<WireTokens> {
    serde_json::from_str(json).ok()
}

#[test]
fn lifetimes_are_read_in_every_spelling() {
    for (value, expected) in [
        ("3600", Some(3600)),
        ("\"3600\"", Some(3600)),
        ("3599.7", Some(3599)),
        ("\"3599.0\"", Some(3599)),
        ("0", Some(0)),
        ("-5", Some(0)),
        ("1e300", Some(LONGEST_SECONDS)),
        ("\"inf\"", Some(LONGEST_SECONDS)),
        ("\"NaN\"", None),
        ("\"soon\"", None),
        ("null", None),
        ("{}", None),
    ] {
        let json = format!(
            r#"{{"access_token":"a","expires_in":{value},"refresh_token_expires_in":{value}}}"#
        );
        let tokens = parse(&json).unwrap();
        let expected = expected.map(Duration::from_secs);
        assert_eq!(tokens.expires_in(), expected, "{value}");
        assert_eq!(tokens.refresh_token_expires_in(), expected, "{value}");
    }
}

#[test]
fn scopes_are_read_in_every_spelling() {
    for (value, expected) in [
        ("\"a b\"", Some("a b")),
        ("\" a  b \"", Some("a b")),
        ("\"a,b\"", Some("a b")),
        (r#"["a","b"]"#, Some("a b")),
        (r#"["a b", 7]"#, Some("a b")),
        ("\"\"", None),
        ("[]", None),
        ("null", None),
    ] {
        let tokens = parse(&format!(r#"{{"access_token":"a","scope":{value}}}"#)).unwrap();
        let found = tokens.scopes().map(|scopes| {
            let scopes: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
            scopes.join(" ")
        });
        assert_eq!(found.as_deref(), expected, "{value}");
    }
}

#[test]
fn the_token_type_is_compared_without_case() {
    for (field, is_bearer) in [
        (r#","token_type":"Bearer""#, true),
        (r#","token_type":"BEARER""#, true),
        (r#","token_type":null"#, true),
        ("", true),
        (r#","token_type":"DPoP""#, false),
        (r#","token_type":"mac""#, false),
    ] {
        let tokens = parse(&format!(r#"{{"access_token":"a"{field}}}"#)).unwrap();
        assert_eq!(tokens.is_bearer(), is_bearer, "{field}");
    }
}

#[test]
fn only_the_access_token_is_required() {
    for bad in [
        "{}",
        "[]",
        "null",
        r#"{"access_token":7}"#,
        r#"{"access_token":null}"#,
    ] {
        assert!(parse(bad).is_none(), "{bad}");
    }
    let tokens = parse(r#"{"access_token":"a","refresh_token":"","id_token":null}"#).unwrap();
    assert!(tokens.refresh_token().is_none() && tokens.id_token().is_none());
}

#[test]
fn debug_shows_no_token() {
    let tokens =
        parse(r#"{"access_token":"PLANTED","refresh_token":"PLANTED","id_token":"PLANTED"}"#);

    assert!(!format!("{tokens:?}").contains("PLANTED"));
}
