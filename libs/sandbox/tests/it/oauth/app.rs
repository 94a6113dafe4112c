//! Clients in their own name, service accounts, and proofs by signature, as each vendor answers them.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mailmesh_domain::Clock as _;
use mailmesh_sandbox::{ApplicationSettings, ClientSettings, Personality};
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256};
use serde_json::{Value, json};

use super::driver::{ANN, Answer, Driver, Outcome, SECRET, overlay, settings};

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const JWT_PROOF: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const TENANT: &str = "/contoso/oauth2/v2.0/token";
const ROBOT: &str = "robot@project.test";
const MAIL: &str = "https://mail.google.com/";
const DEFAULT: &str = "https://outlook.office365.com/.default";

struct App {
    driver: Driver,
    key: EncodingKey,
}

async fn start(personality: Personality) -> Outcome<App> {
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256)?;
    let certificate = CertificateParams::new(vec!["mesh.test".to_owned()])?.self_signed(&key)?;
    let mut settings = settings(personality);
    settings.clients.push(ClientSettings {
        client_id: "signs".to_owned(),
        client_secret: String::new(),
        redirect_uris: Vec::new(),
    });
    let application = |client_id: &str, scopes: &[&str], public_key: &str| ApplicationSettings {
        client_id: client_id.to_owned(),
        public_key: public_key.to_owned(),
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        mailboxes: vec![ANN.to_owned()],
    };
    let permissions = ["IMAP.AccessAsApp"];
    settings.applications = vec![
        application("mesh", &permissions, ""),
        application("signs", &permissions, &certificate.pem()),
        application(ROBOT, &[MAIL], &certificate.pem()),
    ];
    Ok(App {
        driver: Driver::start_with(settings).await?,
        key: EncodingKey::from_rsa_pem(key.serialize_pem().as_bytes())?,
    })
}

impl App {
    /// Returns a statement for an endpoint, with claims changed or, by null, taken away.
    fn sign(&self, path: &str, subject: &str, changes: &Value) -> Outcome<String> {
        let now = self.driver.clock.now().unix_timestamp();
        let issuer = if subject == "signs" { "signs" } else { ROBOT };
        let mut claims = json!({
            "iss": issuer, "sub": subject, "aud": self.driver.url(path),
            "iat": now, "exp": now + 300, "scope": MAIL, "jti": format!("{changes}"),
        });
        let claims_object = claims.as_object_mut().ok_or("no object")?;
        for (name, value) in changes.as_object().into_iter().flatten() {
            claims_object.insert(name.clone(), value.clone());
        }
        claims_object.retain(|_, value| !value.is_null());
        Ok(jsonwebtoken::encode(
            &Header::new(Algorithm::RS256),
            &claims,
            &self.key,
        )?)
    }

    async fn act_for(&self, subject: &str, changes: &Value) -> Outcome<Answer> {
        let statement = self.sign("/token", subject, changes)?;
        let form = [
            ("grant_type", JWT_BEARER),
            ("assertion", statement.as_str()),
        ];
        self.driver.post("/token", &overlay(&form, &[])).await
    }

    async fn ask(&self, path: &str, changes: &[(&str, &str)]) -> Outcome<Answer> {
        let base = [
            ("grant_type", "client_credentials"),
            ("client_id", "mesh"),
            ("client_secret", SECRET),
            ("scope", DEFAULT),
        ];
        self.driver.post(path, &overlay(&base, changes)).await
    }

    async fn prove(&self, claims: &Value) -> Outcome<Answer> {
        let proof = self.sign(TENANT, "signs", claims)?;
        let by_proof = [
            ("client_id", "signs"),
            ("client_secret", ""),
            ("client_assertion_type", JWT_PROOF),
            ("client_assertion", proof.as_str()),
        ];
        self.ask(TENANT, &by_proof).await
    }
}

#[tokio::test]
async fn a_service_account_acts_for_mailboxes_that_are_delegated_to_it() {
    let app = start(Personality::Google).await.unwrap();

    let given = app.act_for(ANN, &json!({})).await.unwrap();

    assert_eq!((given.status, &given.body["scope"]), (200, &json!(MAIL)));
    assert_eq!(given.body["refresh_token"], Value::Null);
    let token = given.text("access_token").unwrap();
    let holder = app.driver.sandbox.tokens().check_access(&token).unwrap();
    assert_eq!(holder.address, ANN);
}

#[tokio::test]
async fn google_refuses_service_accounts_in_its_own_words() {
    let app = start(Personality::Google).await.unwrap();
    let now = app.driver.clock.now().unix_timestamp();
    for (subject, changes, error, words) in [
        (
            ANN,
            json!({"iss": "gone@project.test"}),
            "invalid_grant",
            "account not found",
        ),
        (
            ANN,
            json!({"exp": now + 3_700}),
            "invalid_grant",
            "short-lived token",
        ),
        (
            ANN,
            json!({"iat": now - 900, "exp": now - 600}),
            "invalid_grant",
            "short-lived token",
        ),
        (
            ANN,
            json!({"aud": "https://elsewhere.test/token"}),
            "invalid_grant",
            "audience",
        ),
        (
            "nobody@sandbox.test",
            json!({}),
            "invalid_grant",
            "Invalid email",
        ),
        (
            "bob@sandbox.test",
            json!({}),
            "unauthorized_client",
            "Client is unauthorized",
        ),
        (
            ANN,
            json!({"scope": "https://www.googleapis.com/auth/drive"}),
            "unauthorized_client",
            "scopes",
        ),
    ] {
        let refused = app.act_for(subject, &changes).await.unwrap();

        assert_eq!(refused.body["error"], error, "{changes}");
        assert!(
            refused.text("error_description").unwrap().contains(words),
            "{refused:?}"
        );
    }
    let other = start(Personality::Google).await.unwrap();
    let stolen = App {
        key: other.key,
        ..app
    };
    let refused = stolen.act_for(ANN, &json!({})).await.unwrap();
    assert_eq!(refused.body["error_description"], "Invalid JWT Signature.");
}

#[tokio::test]
async fn an_application_proves_itself_by_secret_or_by_signature() {
    let app = start(Personality::Microsoft).await.unwrap();

    let by_secret = app.ask(TENANT, &[]).await.unwrap();
    let by_proof = app.prove(&json!({})).await.unwrap();

    for given in [by_secret, by_proof] {
        assert_eq!(
            (given.status, &given.body["scope"]),
            (200, &json!("IMAP.AccessAsApp"))
        );
        assert_eq!(given.body["refresh_token"], Value::Null);
    }
}

#[tokio::test]
async fn microsoft_refuses_applications_by_its_numbers() {
    let app = start(Personality::Microsoft).await.unwrap();
    let now = app.driver.clock.now().unix_timestamp();
    for (path, changes, code) in [
        (TENANT, [("client_id", "nobody")], 700_016),
        (TENANT, [("client_secret", "wrong")], 7_000_215),
        (TENANT, [("client_secret", "")], 7_000_218),
        (
            TENANT,
            [("scope", "https://outlook.office.com/IMAP.AccessAsUser.All")],
            70_011,
        ),
        ("/common/oauth2/v2.0/token", [("scope", DEFAULT)], 9_001_023),
    ] {
        let refused = app.ask(path, &changes).await.unwrap();
        assert_eq!(refused.body["error_codes"], json!([code]), "{changes:?}");
    }
    for (claims, code) in [
        (json!({"exp": now - 1, "iat": now - 100}), 700_024),
        (json!({"exp": now + 86_400}), 700_024),
        (json!({"aud": "https://elsewhere.test"}), 50_013),
        (json!({"jti": null}), 50_013),
        (json!({"sub": "mesh"}), 50_013),
    ] {
        let refused = app.prove(&claims).await.unwrap();
        assert_eq!(refused.body["error_codes"], json!([code]), "{claims}");
    }
    app.prove(&json!({"jti": "once"})).await.unwrap();
    let again = app.prove(&json!({"jti": "once"})).await.unwrap();
    assert_eq!(again.body["error_codes"], json!([50_013]), "used before");
    let other = start(Personality::Microsoft).await.unwrap();
    let stolen = App {
        key: other.key,
        ..app
    };
    let refused = stolen.prove(&json!({})).await.unwrap();
    assert_eq!(refused.body["error_codes"], json!([700_027]));
}
