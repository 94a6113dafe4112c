//! Clients that sign in place of a secret (RFC 7523), in every flow.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mailmesh_domain::{Clock as _, ManualClock, SystemClock, TokenEndpointAuth};
use mailmesh_oauth::{
    Client, ClientKey, OAuthError, Signer, exchange_code, refresh, request_for_client,
};
use mailmesh_secrets::sha256;
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256};
use serde_json::Value;

use crate::fake::{Answer, Fake, Seen, client, http, json, secret};

const ANSWER: &str = r#"{"access_token":"at","expires_in":3600}"#;

/// A key, its certificate, and the certificate's DER.
pub(crate) fn keys() -> (KeyPair, String, Vec<u8>) {
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let params = CertificateParams::new(vec!["mesh.test".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (key, certificate.pem(), certificate.der().to_vec())
}

fn signing_client(certificate: Option<&str>, key: &KeyPair, clock: &Arc<ManualClock>) -> Client {
    let key = ClientKey::try_new(&secret(&key.serialize_pem()), certificate).unwrap();
    Client {
        client_secret: None,
        signer: Some(Signer::new(key, Arc::clone(clock) as Arc<_>)),
        auth: TokenEndpointAuth::PrivateKeyJwt,
        ..client()
    }
}

pub(crate) fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[tokio::test]
async fn each_request_carries_a_proof_of_its_own() {
    let clock = Arc::new(ManualClock::starting_at(SystemClock.now()));
    let fake = Fake::start().await;
    fake.on("/token", [json(ANSWER)]);
    let (key, pem, der) = keys();
    let (http, endpoints) = (http(), fake.endpoints());
    let client = signing_client(Some(&pem), &key, &clock);

    exchange_code(&http, &endpoints, &client, &secret("c"), &secret("v"))
        .await
        .unwrap();
    refresh(&http, &endpoints, &client, &secret("rt"), &[])
        .await
        .unwrap();
    request_for_client(&http, &endpoints, &client)
        .await
        .unwrap();

    let seen = fake.seen();
    let types: Vec<&str> = seen
        .iter()
        .map(|seen| seen.form["grant_type"].as_str())
        .collect();
    assert_eq!(
        types,
        ["authorization_code", "refresh_token", "client_credentials"]
    );
    let now = clock.now().unix_timestamp();
    let check = |seen: &Seen| {
        assert_eq!(seen.form["client_id"], "mesh");
        assert!(!seen.form.contains_key("client_secret") && seen.authorization.is_none());
        assert_eq!(
            seen.form["client_assertion_type"],
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        );
        let proof = &seen.form["client_assertion"];
        let (header, claims) = (part(proof, 0), part(proof, 1));
        assert_eq!(header["alg"], "PS256");
        assert_eq!(header["x5t#S256"], URL_SAFE_NO_PAD.encode(sha256(&der)));
        assert_eq!(
            (&claims["iss"], &claims["sub"]),
            (&"mesh".into(), &"mesh".into())
        );
        assert_eq!(claims["aud"], endpoints.token.as_str());
        assert!(
            claims["nbf"].as_i64().unwrap() < now,
            "a clock that is behind"
        );
        let life = claims["exp"].as_i64().unwrap() - now;
        assert!((60..=600).contains(&life), "{life}");
        claims["jti"].as_str().unwrap().to_owned()
    };
    let mut ids: Vec<String> = seen.iter().map(check).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 3);
}

#[tokio::test]
async fn a_client_without_its_key_asks_nobody() {
    let fake = Fake::start().await;
    let client = Client {
        auth: TokenEndpointAuth::PrivateKeyJwt,
        ..client()
    };

    let error = request_for_client(&http(), &fake.endpoints(), &client)
        .await
        .unwrap_err();

    assert!(matches!(error, OAuthError::Unsigned { .. }));
    assert!(error.concerns_client());
    assert!(fake.seen().is_empty());
}

#[tokio::test]
async fn an_echoed_proof_is_kept_out_of_errors() {
    let clock = Arc::new(ManualClock::starting_at(SystemClock.now()));
    let fake = Fake::start().await;
    fake.on("/token", [Answer::Echo]);
    let (key, _, _) = keys();
    let client = signing_client(None, &key, &clock);

    let error = request_for_client(&http(), &fake.endpoints(), &client)
        .await
        .unwrap_err();

    let proof = fake.seen()[0].form["client_assertion"].clone();
    let refusal = error.refusal().unwrap();
    let shown = format!("{error} {error:?} {refusal:?} {:?}", refusal.description);
    let begin = proof.split('.').nth(1).unwrap();
    assert!(!shown.contains(begin), "{shown}");
}
