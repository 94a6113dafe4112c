use rcgen::{
    CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256,
};
use time::macros::datetime;

use super::*;

fn rsa() -> KeyPair {
    KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap()
}

fn certificate(key: &KeyPair) -> String {
    let mut params = CertificateParams::new(vec!["mesh.test".to_owned()]).unwrap();
    params.not_after = datetime!(2031-05-06 07:08:09 UTC);
    params.self_signed(key).unwrap().pem()
}

fn read(pem: &str, certificate: Option<&str>) -> Result<ClientKey, ClientKeyError> {
    ClientKey::try_new(&SecretString::from(pem), certificate)
}

fn header(key: &ClientKey) -> jsonwebtoken::Header {
    let token = key.sign(&Map::new()).unwrap();
    jsonwebtoken::decode_header(token.expose_secret()).unwrap()
}

#[test]
fn the_algorithm_follows_from_key_and_certificate() {
    let (rsa, ec) = (
        rsa(),
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(),
    );
    for (key, certificate, algorithm) in [
        (&rsa, None, Algorithm::RS256),
        (&rsa, Some(certificate(&rsa)), Algorithm::PS256),
        (&ec, None, Algorithm::ES256),
        (&ec, Some(certificate(&ec)), Algorithm::ES256),
    ] {
        let read = read(&key.serialize_pem(), certificate.as_deref()).unwrap();

        let header = header(&read);
        assert_eq!(header.alg, algorithm);
        assert_eq!(header.x5t_s256.is_some(), certificate.is_some());
        let end = certificate.map(|_| datetime!(2031-05-06 07:08:09 UTC));
        assert_eq!(read.certificate_ends_at(), end);
    }
}

#[test]
fn a_key_is_found_among_certificates_and_remarks() {
    let key = rsa();
    let text = format!(
        "Bag Attributes\n{}\nsubject=/CN=x\n{}",
        certificate(&key),
        key.serialize_pem()
    );

    let read = read(&text, Some(&text)).unwrap();

    assert_eq!(header(&read).alg, Algorithm::PS256);
}

#[test]
fn what_cannot_sign_is_refused_in_words() {
    let (one, other) = (rsa(), rsa());
    let long_curve = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let pem = one.serialize_pem();
    let public = one.public_key_pem();
    let damaged = format!(
        "{}\n-----END PRIVATE KEY-----\n",
        pem.lines().take(4).collect::<Vec<_>>().join("\n")
    );
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----";
    let old_encrypted = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIB\n-----END RSA PRIVATE KEY-----";
    let old_form = "-----BEGIN EC PRIVATE KEY-----\nMIIB\n-----END EC PRIVATE KEY-----";
    for (key, certificate, error) in [
        ("", None, ClientKeyError::NoKey),
        (public.as_str(), None, ClientKeyError::NoKey),
        (encrypted, None, ClientKeyError::Encrypted),
        (old_encrypted, None, ClientKeyError::Encrypted),
        (old_form, None, ClientKeyError::OldForm),
        (&long_curve.serialize_pem(), None, ClientKeyError::Unusable),
        (&damaged, None, ClientKeyError::Unusable),
        (&pem, Some(pem.clone()), ClientKeyError::NoCertificate),
        (
            &pem,
            Some(certificate(&other)),
            ClientKeyError::OtherCertificate,
        ),
    ] {
        let refused = read(key, certificate.as_deref()).unwrap_err();
        assert_eq!(refused, error, "{key}");
    }
}

fn key_file(change: impl FnOnce(&mut Map<String, Value>)) -> SecretString {
    let mut file = Map::from_iter([
        ("type".to_owned(), json!("service_account")),
        (
            "client_email".to_owned(),
            json!("mesh@p.iam.gserviceaccount.test"),
        ),
        ("client_id".to_owned(), json!("1045")),
        ("private_key_id".to_owned(), json!("k1")),
        ("private_key".to_owned(), json!(rsa().serialize_pem())),
        (
            "token_uri".to_owned(),
            json!("https://elsewhere.test/token"),
        ),
    ]);
    change(&mut file);
    SecretString::from(Value::Object(file).to_string())
}

#[test]
fn the_key_of_a_service_account_is_read() {
    let account = ServiceAccount::try_new(&key_file(|_| {})).unwrap();

    assert_eq!(account.email, "mesh@p.iam.gserviceaccount.test");
    assert_eq!(account.client_id, "1045");
    let header = header(&account.key);
    assert_eq!(
        (header.alg, header.kid.as_deref()),
        (Algorithm::RS256, Some("k1"))
    );
}

#[test]
fn other_files_of_google_are_told_apart() {
    let other = |found: &str| ClientKeyError::OtherJson {
        found: found.to_owned(),
    };
    let user = key_file(|file| {
        file.insert("type".to_owned(), json!("authorized_user"));
    });
    let nameless = key_file(|file| {
        file.remove("client_email");
    });
    let broken = key_file(|file| {
        file.insert("private_key".to_owned(), json!("none"));
    });
    let field = "client_email";
    for (json, error) in [
        (
            SecretString::from("-----BEGIN"),
            ClientKeyError::NoServiceAccount,
        ),
        (SecretString::from("[1]"), ClientKeyError::NoServiceAccount),
        (SecretString::from("{}"), other("no known type")),
        (
            SecretString::from(r#"{"web":{"client_id":"x"}}"#),
            other("an OAuth client, with which people sign in"),
        ),
        (user, other("type authorized_user")),
        (nameless, ClientKeyError::NoField { field }),
        (broken, ClientKeyError::NoKey),
    ] {
        assert_eq!(ServiceAccount::try_new(&json).unwrap_err(), error);
    }
}

#[test]
fn nothing_of_a_key_is_shown() {
    let account = ServiceAccount::try_new(&key_file(|_| {})).unwrap();

    assert!(format!("{account:?}").contains("redacted"));
}
