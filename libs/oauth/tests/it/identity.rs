use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mailmesh_domain::VerdictKind;
use mailmesh_oauth::{
    Client, Endpoints, IdTokenError, Identity, OAuthError, TokenAnswer, identify,
};
use mailmesh_secrets::SecretString;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::{Value, json as value};
use time::OffsetDateTime;

use crate::fake::{Answer, Fake, client, http, json, owned, secret, status};

const NOW: i64 = 1_800_000_000;

struct Signer {
    algorithm: Algorithm,
    key_id: &'static str,
    key: EncodingKey,
    ed_public: Vec<u8>,
}

impl Signer {
    fn new(algorithm: Algorithm, key_id: &'static str) -> Self {
        let mut ed_public = Vec::new();
        let key = match algorithm {
            Algorithm::ES256 => {
                let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
                EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap()
            }
            Algorithm::EdDSA => {
                let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
                ed_public = pair.public_key_raw().to_vec();
                EncodingKey::from_ed_der(&pair.serialize_der())
            }
            Algorithm::HS256 => EncodingKey::from_secret(b"client-PLANTED"),
            _ => {
                let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
                EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).unwrap()
            }
        };
        Self {
            algorithm,
            key_id,
            key,
            ed_public,
        }
    }

    fn published(&self) -> Value {
        if self.algorithm == Algorithm::EdDSA {
            let x = URL_SAFE_NO_PAD.encode(&self.ed_public);
            return value!({"kty": "OKP", "crv": "Ed25519", "kid": self.key_id, "x": x});
        }
        let mut key = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        key.common.key_id = Some(self.key_id.to_owned());
        let mut key = serde_json::to_value(key).unwrap();
        key["use"] = value!("sig");
        key
    }

    fn sign(&self, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(self.key_id.to_owned());
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }
}

fn key_set(keys: &[Value]) -> Answer {
    // Keys that nobody here knows stand in the way of nothing.
    let mut all = vec![value!({"kty": "AKP", "kid": "pq", "alg": "ML-DSA-65", "pub": "AA"})];
    all.extend_from_slice(keys);
    json(&value!({ "keys": all }).to_string())
}

fn claims() -> Value {
    value!({
        "iss": "https://id.test", "aud": "mesh", "sub": "subject-1", "exp": NOW + 300,
        "iat": NOW - 5, "nonce": "n-1", "email": "jo@example.test",
    })
}

fn with(name: &str, changed: Value) -> Value {
    let mut claims = claims();
    match changed {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        changed => claims[name] = changed,
    }
    claims
}

fn answer(id_token: Option<String>) -> TokenAnswer {
    TokenAnswer {
        access_token: secret("at-PLANTED"),
        refresh_token: None,
        expires_in: None,
        refresh_token_expires_in: None,
        scopes: Vec::new(),
        id_token: id_token.map(SecretString::from),
    }
}

async fn who(
    endpoints: &Endpoints,
    client: &Client,
    id_token: Option<String>,
) -> Result<Option<Identity>, OAuthError> {
    let now = OffsetDateTime::from_unix_timestamp(NOW).unwrap();
    identify(
        &http(),
        endpoints,
        client,
        &answer(id_token),
        Some("n-1"),
        now,
    )
    .await
}

#[tokio::test]
async fn id_tokens_of_every_public_key_kind_are_verified() {
    use Algorithm::{ES256, EdDSA, PS256, RS256, RS512};
    for algorithm in [RS256, RS512, PS256, ES256, EdDSA] {
        let fake = Fake::start().await;
        let signer = Signer::new(algorithm, "k1");
        fake.on("/jwks", [key_set(&[signer.published()])]);

        let found = who(&fake.endpoints(), &client(), Some(signer.sign(&claims()))).await;

        let found = found
            .unwrap_or_else(|error| panic!("{algorithm:?}: {error}"))
            .unwrap();
        assert_eq!(found.subject, "subject-1");
        assert_eq!(found.issuer.as_deref(), Some("https://id.test"));
        assert_eq!(found.address.as_deref(), Some("jo@example.test"));
        assert_eq!(found.claim.as_deref(), Some("email"));
        assert_eq!(fake.count("/userinfo"), 0, "nothing more to ask");
    }
}

#[tokio::test]
async fn claims_that_do_not_fit_are_refused() {
    let fake = Fake::start().await;
    let signer = Signer::new(Algorithm::ES256, "k1");
    fake.on("/jwks", [key_set(&[signer.published()])]);

    for (claims, refusal) in [
        (
            with("iss", value!("https://evil.test")),
            IdTokenError::Issuer,
        ),
        (
            with("iss", value!("https://id.test/")),
            IdTokenError::Issuer,
        ),
        (with("iss", Value::Null), IdTokenError::Issuer),
        (with("aud", value!("other")), IdTokenError::Audience),
        (with("aud", value!(["other"])), IdTokenError::Audience),
        (
            with("aud", value!(["mesh", "other"])),
            IdTokenError::Audience,
        ),
        (with("aud", Value::Null), IdTokenError::Audience),
        (with("azp", value!("other")), IdTokenError::Audience),
        (with("exp", value!(NOW - 121)), IdTokenError::Expired),
        (with("exp", value!("later")), IdTokenError::Expired),
        (with("exp", Value::Null), IdTokenError::Expired),
        (with("iat", value!(NOW + 121)), IdTokenError::NotYet),
        (with("iat", Value::Null), IdTokenError::NotYet),
        (with("nbf", value!(NOW + 121)), IdTokenError::NotYet),
        (with("nonce", value!("n-2")), IdTokenError::Nonce),
        (with("nonce", Value::Null), IdTokenError::Nonce),
        (with("sub", Value::Null), IdTokenError::Subject),
        (with("sub", value!("")), IdTokenError::Subject),
    ] {
        let refused = who(&fake.endpoints(), &client(), Some(signer.sign(&claims))).await;

        match refused {
            Err(OAuthError::IdToken(found)) => assert_eq!(found, refusal, "{claims}"),
            other => panic!("{claims}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn claims_within_the_allowance_are_accepted() {
    let fake = Fake::start().await;
    let signer = Signer::new(Algorithm::ES256, "k1");
    fake.on("/jwks", [key_set(&[signer.published()])]);
    let mut several = with("aud", value!(["mesh", "other"]));
    several["azp"] = value!("mesh");

    for claims in [
        with("exp", value!(NOW - 119)),
        with("iat", value!(NOW + 119)),
        with("exp", value!(1_800_000_300.5)),
        with("azp", value!("mesh")),
        several,
    ] {
        let found = who(&fake.endpoints(), &client(), Some(signer.sign(&claims))).await;
        assert!(found.is_ok(), "{claims}: {found:?}");
    }
}

#[tokio::test]
async fn signatures_that_prove_nothing_are_refused() {
    let fake = Fake::start().await;
    let signer = Signer::new(Algorithm::ES256, "k1");
    let impostor = Signer::new(Algorithm::ES256, "k1");
    let by_secret = Signer::new(Algorithm::HS256, "k1");
    fake.on("/jwks", [key_set(&[signer.published()])]);
    let good = signer.sign(&claims());
    let (content, _) = good.rsplit_once('.').unwrap();
    let unsigned = "eyJhbGciOiJub25lIn0.e30.";

    for (token, refusal) in [
        (impostor.sign(&claims()), IdTokenError::Signature),
        (format!("{content}.AAAA"), IdTokenError::Signature),
        (by_secret.sign(&claims()), IdTokenError::Algorithm),
        (unsigned.to_owned(), IdTokenError::Algorithm),
        ("no token".to_owned(), IdTokenError::Algorithm),
        (
            Signer::new(Algorithm::ES256, "k9").sign(&claims()),
            IdTokenError::UnknownKey,
        ),
    ] {
        let refused = who(&fake.endpoints(), &client(), Some(token.clone())).await;

        match refused {
            Err(OAuthError::IdToken(found)) => assert_eq!(found, refusal, "{token}"),
            other => panic!("{token}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn changed_keys_are_fetched_once_more() {
    let fake = Fake::start().await;
    let (old, new) = (
        Signer::new(Algorithm::ES256, "k1"),
        Signer::new(Algorithm::ES256, "k2"),
    );
    fake.on(
        "/jwks",
        [key_set(&[old.published()]), key_set(&[new.published()])],
    );
    let (http, endpoints, client) = (http(), fake.endpoints(), client());
    let now = OffsetDateTime::from_unix_timestamp(NOW).unwrap();

    for (signer, fetched) in [(&old, 1), (&old, 1), (&new, 2), (&new, 2)] {
        let answer = answer(Some(signer.sign(&claims())));
        let found = identify(&http, &endpoints, &client, &answer, Some("n-1"), now).await;
        assert!(found.is_ok(), "{found:?}");
        assert_eq!(fake.count("/jwks"), fetched);
    }
}

#[tokio::test]
async fn the_issuers_of_microsoft_and_google_are_understood() {
    let tenant = "72f988bf-86f1-41af-91ab-2d7cd011db47";
    let template = "https://login.microsoftonline.com/{tenantid}/v2.0";
    let of = |tenant: &str| format!("https://login.microsoftonline.com/{tenant}/v2.0");
    for (expected, issuer, tid, is_right) in [
        (template, of(tenant), tenant, true),
        (
            template,
            of(tenant),
            "9188040d-6c67-4c5b-b112-36a304b66dad",
            false,
        ),
        (template, of("a/b"), "a/b", false),
        (
            template,
            format!("https://evil.test/{tenant}/v2.0"),
            tenant,
            false,
        ),
        (
            "https://accounts.google.com",
            "accounts.google.com".to_owned(),
            "",
            true,
        ),
        ("https://id.test", "id.test".to_owned(), "", false),
    ] {
        let fake = Fake::start().await;
        let signer = Signer::new(Algorithm::ES256, "k1");
        fake.on("/jwks", [key_set(&[signer.published()])]);
        let mut endpoints = fake.endpoints();
        endpoints.issuer = Some(expected.to_owned());
        let mut claims = with("iss", value!(issuer));
        claims["tid"] = value!(tid);

        let found = who(&endpoints, &client(), Some(signer.sign(&claims))).await;

        assert_eq!(found.is_ok(), is_right, "{expected} {issuer} {tid}");
    }
}

#[tokio::test]
async fn userinfo_fills_in_what_the_id_token_leaves_out() {
    let fake = Fake::start().await;
    let signer = Signer::new(Algorithm::ES256, "k1");
    let silent = signer.sign(&with("email", Value::Null));
    fake.on("/jwks", [key_set(&[signer.published()])]).on(
        "/userinfo",
        [
            json(r#"{"sub":"subject-1","email":"jo@example.test"}"#),
            json(r#"{"sub":"subject-2","email":"eve@example.test"}"#),
            status(401, ""),
            status(503, ""),
        ],
    );

    let found = who(&fake.endpoints(), &client(), Some(silent.clone()))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.address.as_deref(), Some("jo@example.test"));
    let seen = fake.seen();
    let asked = seen.iter().find(|seen| seen.path == "/userinfo").unwrap();
    assert_eq!(asked.authorization.as_deref(), Some("Bearer at-PLANTED"));

    let other = who(&fake.endpoints(), &client(), Some(silent.clone())).await;
    assert!(matches!(
        other,
        Err(OAuthError::IdToken(IdTokenError::Subject))
    ));

    // Microsoft's userinfo refuses mail tokens: the subject is known, and not whose mailbox it is.
    let refused = who(&fake.endpoints(), &client(), Some(silent.clone())).await;
    assert_eq!(looked_at(refused), ["email", "preferred_username", "upn"]);

    let down = who(&fake.endpoints(), &client(), Some(silent))
        .await
        .unwrap_err();
    assert_eq!(down.verdict().kind, VerdictKind::Transient);
}

#[tokio::test]
async fn userinfo_alone_names_the_person() {
    let fake = Fake::start().await;
    fake.on(
        "/userinfo",
        [
            json(r#"{"sub":"s","email":"jo@example.test"}"#),
            json(r#"{"id":42,"email":"jo@example.test"}"#),
            json(r#"{"email":"jo@example.test"}"#),
            json(r#"{"sub":"s","email":"jo@example.test","email_verified":false}"#),
            json(r#"{"sub":"s","name":"Jo"}"#),
            status(403, ""),
        ],
    );

    let mut client = client();
    client.scopes = owned(&["mail"]);
    let found = who(&fake.endpoints(), &client, None)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((found.subject.as_str(), found.issuer), ("s", None));
    let older = who(&fake.endpoints(), &client, None)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(older.subject, "42");
    let nobody = who(&fake.endpoints(), &client, None).await.unwrap_err();
    assert!(matches!(nobody, OAuthError::Unreadable { .. }), "{nobody}");
    for _unverified_or_missing in 0..2 {
        let unnamed = who(&fake.endpoints(), &client, None).await.unwrap_err();
        assert!(matches!(unnamed, OAuthError::NoMailbox { .. }), "{unnamed}");
    }
    assert_eq!(who(&fake.endpoints(), &client, None).await.unwrap(), None);
}

#[tokio::test]
async fn openid_without_an_id_token_is_refused() {
    let fake = Fake::start().await;
    fake.on(
        "/userinfo",
        [json(r#"{"sub":"s","email":"jo@example.test"}"#)],
    );

    let found = who(&fake.endpoints(), &client(), None).await;

    assert!(
        matches!(found, Err(OAuthError::IdToken(IdTokenError::Missing))),
        "{found:?}"
    );
    assert!(fake.seen().is_empty(), "the token goes nowhere first");
}

#[tokio::test]
async fn an_unverified_email_counts_under_no_name() {
    let fake = Fake::start().await;
    let signer = Signer::new(Algorithm::ES256, "k1");
    fake.on("/jwks", [key_set(&[signer.published()])]);
    let mut alone = fake.endpoints();
    alone.userinfo = None;
    for verified in [value!(false), value!("false"), value!("False"), value!(0)] {
        for name in ["preferred_username", "upn"] {
            let mut claims = with("email_verified", verified.clone());
            claims[name] = value!("JO@example.test");
            let found = who(&alone, &client(), Some(signer.sign(&claims))).await;
            assert_eq!(looked_at(found).len(), 3, "{name} {verified}");
        }
    }

    // What the id token says of an address holds for the userinfo, too, and the other way round.
    let denied = with("email_verified", value!(false));
    let mut silent = with("email", Value::Null);
    silent["preferred_username"] = value!("nobody");
    fake.on(
        "/userinfo",
        [
            json(r#"{"sub":"subject-1","preferred_username":"jo@example.test"}"#),
            json(r#"{"sub":"subject-1","email":"jo@example.test","email_verified":false,"upn":"jo@example.test"}"#),
        ],
    );
    for claims in [denied, silent] {
        let found = who(&fake.endpoints(), &client(), Some(signer.sign(&claims))).await;
        assert_eq!(looked_at(found).len(), 3, "{claims}");
    }
}

fn looked_at(found: Result<Option<Identity>, OAuthError>) -> Vec<String> {
    match found {
        Err(OAuthError::NoMailbox { looked_at }) => looked_at,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_provider_may_name_nobody_only_where_nobody_asked() {
    let fake = Fake::start().await;
    let mut endpoints = fake.endpoints();
    endpoints.userinfo = None;
    let mut client = client();

    client.scopes = owned(&["mail"]);
    let not_asked = who(&endpoints, &client, None).await.unwrap();
    client.identity_claim = Some("login".to_owned());
    let configured = who(&endpoints, &client, None).await;

    assert_eq!(not_asked, None);
    assert_eq!(looked_at(configured), ["login"]);
    assert!(fake.seen().is_empty());
}

#[tokio::test]
async fn an_address_that_proves_nothing_names_no_mailbox() {
    let fake = Fake::start().await;
    let signer = Signer::new(Algorithm::ES256, "k1");
    fake.on("/jwks", [key_set(&[signer.published()])]);
    let mut endpoints = fake.endpoints();
    endpoints.userinfo = None;
    let unverified = with("email_verified", value!(false));
    let mut plain_name = with("email", Value::Null);
    plain_name["preferred_username"] = value!("jsmith");

    for claims in [unverified, plain_name] {
        let found = who(&endpoints, &client(), Some(signer.sign(&claims))).await;
        assert_eq!(looked_at(found), ["email", "preferred_username", "upn"]);
    }

    // A claim that was chosen is never replaced in silence.
    let mut chosen = client();
    chosen.identity_claim = Some("absent".to_owned());
    let found = who(&endpoints, &chosen, Some(signer.sign(&claims()))).await;
    assert_eq!(looked_at(found), ["absent"]);
}

#[tokio::test]
async fn the_address_comes_from_the_first_claim_that_can_hold_one() {
    let fake = Fake::start().await;
    let signer = Signer::new(Algorithm::ES256, "k1");
    fake.on("/jwks", [key_set(&[signer.published()])]);
    let mut endpoints = fake.endpoints();
    endpoints.userinfo = None;
    let mut all = claims();
    all["preferred_username"] = value!("jo.smith@corp.test");
    all["upn"] = value!("jsmith@corp.test");
    all["login"] = value!("jsmith");
    let mut unverified = all.clone();
    unverified["email_verified"] = value!(false);
    let mut plain_name = with("email", Value::Null);
    plain_name["preferred_username"] = value!("jsmith");
    plain_name["upn"] = value!("jsmith@corp.test");

    for (claims, configured, claim, address) in [
        (&all, None, "email", "jo@example.test"),
        (
            &unverified,
            None,
            "preferred_username",
            "jo.smith@corp.test",
        ),
        (&plain_name, None, "upn", "jsmith@corp.test"),
        (&all, Some("upn"), "upn", "jsmith@corp.test"),
        (&all, Some("login"), "login", "jsmith"),
    ] {
        let mut client = client();
        client.identity_claim = configured.map(str::to_owned);

        let found = who(&endpoints, &client, Some(signer.sign(claims)))
            .await
            .unwrap()
            .unwrap();

        assert_eq!(found.claim.as_deref(), Some(claim), "{configured:?}");
        assert_eq!(found.address.as_deref(), Some(address), "{configured:?}");
    }
}
