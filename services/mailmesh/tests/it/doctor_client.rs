//! What `mailmesh doctor` says of client configurations: what their providers do not answer, and who must act.

use std::sync::Arc;

use mailmesh_domain::{FailureCause, Key, SystemClock};
use mailmesh_events::Problem;
use mailmesh_sandbox::{Fault, FaultRule, Sandbox, Settings};
use mailmesh_store::client_configuration::{self, ClientConfiguration};
use mailmesh_testkit::MeshBase;
use serde_json::{Value, json};

use crate::doctor::doctor;

/// Providers that misbehave until the test ends, and the client configurations that lead to them.
struct World {
    base: MeshBase,
    providers: Vec<Sandbox>,
}

impl World {
    async fn new() -> anyhow::Result<Self> {
        let base = MeshBase::fresh(Arc::new(SystemClock)).await?;
        Ok(Self {
            base,
            providers: Vec::new(),
        })
    }

    async fn provider(&mut self, fault: Option<(&str, Fault)>) -> anyhow::Result<String> {
        self.provider_with(Settings::default(), fault).await
    }

    /// Starts one and returns its issuer.
    async fn provider_with(
        &mut self,
        settings: Settings,
        fault: Option<(&str, Fault)>,
    ) -> anyhow::Result<String> {
        let sandbox = Sandbox::start(settings, Arc::new(SystemClock)).await?;
        let issuer = sandbox.addresses().issuer.clone();
        if let Some((point, fault)) = fault {
            let rule = FaultRule {
                count: None,
                ..FaultRule::once(point, fault)
            };
            sandbox.faults().add(rule)?;
        }
        self.providers.push(sandbox);
        Ok(issuer)
    }

    async fn client(
        &self,
        key: &str,
        issuer: &str,
        change: impl FnOnce(&mut ClientConfiguration),
    ) -> anyhow::Result<()> {
        let mut client = self.base.client_row("mesh")?;
        client.key = Key::try_new(key)?;
        client.issuer = Some(issuer.to_owned());
        client.scopes = ["openid", "mail"].map(str::to_owned).to_vec();
        // One that has been in use.
        client.token_origin = Some(issuer.to_owned());
        change(&mut client);
        self.base.insert_client(&client).await
    }
}

/// Returns what is said of a client configuration, and what is to be done.
fn said<'a>(output: &'a str, key: &str) -> (&'a str, &'a str) {
    let name = format!("client configuration {key} (custom)");
    let mut lines = output.lines().skip_while(|line| !line.contains(&name));
    let what = lines.next().unwrap_or_default();
    let action = lines.next().map(str::trim_start);
    let action = action.filter(|line| line.starts_with('→'));
    (what, action.unwrap_or_default())
}

fn metadata(issuer: &str) -> Value {
    json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/jwks"),
    })
}

async fn run() -> anyhow::Result<String> {
    let mut world = World::new().await?;
    let healthy = world.provider(None).await?;
    world.client("healthy", &healthy, |_| {}).await?;
    let absent = Fault::Status {
        code: 404,
        retry_after: None,
        body: None,
    };
    let lost = world.provider(Some(("oauth.discovery", absent))).await?;
    world.client("lost", &lost, |_| {}).await?;
    let keyless = metadata(&healthy);
    let keyless = answering(&mut world, keyless, "jwks_uri", Value::Null).await?;
    world.client("keyless", &keyless, |_| {}).await?;
    let internal = metadata(&healthy);
    let elsewhere = json!("http://localhost:1/token");
    let internal = answering(&mut world, internal, "token_endpoint", elsewhere).await?;
    world
        .client("internal", &internal, |client| client.token_origin = None)
        .await?;
    let broken = Fault::Reply {
        text: "<html>".to_owned(),
    };
    let broken = world.provider(Some(("oauth.jwks", broken))).await?;
    world.client("broken", &broken, |_| {}).await?;
    for (key, origin) in [("dead", Some("http://127.0.0.1:1")), ("new", None)] {
        let dead = |client: &mut ClientConfiguration| {
            client.token_url = Some("http://127.0.0.1:1/token".to_owned());
            client.token_origin = origin.map(str::to_owned);
        };
        world.client(key, &healthy, dead).await?;
    }
    let moved = |client: &mut ClientConfiguration| {
        client.token_origin = Some("https://before.test".to_owned());
    };
    world.client("moved", &healthy, moved).await?;
    let tls = Settings {
        https: true,
        ..Settings::default()
    };
    let untrusted = world.provider_with(tls, None).await?;
    world.client("untrusted", &untrusted, |_| {}).await?;
    let authority = world.providers.last().map(|p| p.ca_pem().to_owned());
    world
        .client("trusted", &untrusted, |client| client.ca_pem = authority)
        .await?;
    let stalled = Fault::Stall { seconds: None };
    let stalled = world.provider(Some(("oauth.token", stalled))).await?;
    world.client("a-stalled", &stalled, |_| {}).await?;
    refuse(&world, "refused", &healthy).await?;
    doctor(&world.base).await
}

/// Starts a provider whose metadata holds another value.
async fn answering(
    world: &mut World,
    mut told: Value,
    field: &str,
    value: Value,
) -> anyhow::Result<String> {
    let issuer = world.provider(None).await?;
    told["issuer"] = json!(issuer);
    told[field] = value;
    let text = told.to_string();
    let sandbox = world.providers.last();
    if let Some(sandbox) = sandbox {
        let rule = FaultRule::once("oauth.discovery", Fault::Reply { text });
        sandbox.faults().add(FaultRule {
            count: None,
            ..rule
        })?;
    }
    Ok(issuer)
}

async fn refuse(world: &World, key: &str, issuer: &str) -> anyhow::Result<()> {
    world.client(key, issuer, |_| {}).await?;
    let refusal = Problem::new(
        "The client secret has expired.",
        FailureCause::SecretExpired,
    )
    .with_code(Some("AADSTS7000222".to_owned()));
    let mut tx = world.base.begin().await?;
    let found = client_configuration::find_by_key(&mut tx, &Key::try_new(key)?).await?;
    if let Some(client) = found {
        client_configuration::set_refusal(&mut tx, client.id, Some(&refusal)).await?;
    }
    Ok(tx.commit().await?)
}

#[tokio::test]
async fn each_client_configuration_is_told_with_who_must_act() {
    const ADMINISTRATOR: &str = "Who must act: this mesh's administrator.";
    let output = run().await.unwrap();

    for key in ["healthy", "trusted"] {
        let (what, _) = said(&output, key);
        assert!(what.starts_with("ok "), "{key}: {output}");
    }
    for (key, problem, action) in [
        (
            "lost",
            "provider discovery was refused: HTTP 404",
            "Correct the issuer",
        ),
        ("keyless", "names no usable jwks_uri", "jwks_url"),
        ("internal", "network that is not allowed", "network.allow"),
        (
            "broken",
            "key set request got an answer that cannot be used",
            "check the URLs",
        ),
        (
            "new",
            "token endpoint check could not reach the provider",
            "never reached",
        ),
        (
            "moved",
            "token endpoint moved from https://before.test",
            "secret",
        ),
        (
            "untrusted",
            "certificate that is not trusted",
            "private authority",
        ),
        (
            "refused",
            "The client secret has expired (AADSTS7000222)",
            "Create a new client secret",
        ),
    ] {
        let (what, told) = said(&output, key);
        assert!(what.starts_with("BAD "), "{key}: {output}");
        assert!(what.contains(problem), "{key}: {output}");
        assert!(told.contains(action), "{key}: {output}");
        assert!(told.ends_with(ADMINISTRATOR), "{key}: {output}");
    }
    for (key, problem) in [
        ("dead", "token endpoint check could not reach the provider"),
        ("a-stalled", "token endpoint check timed out"),
    ] {
        let (what, told) = said(&output, key);
        assert!(what.contains(problem), "{key}: {output}");
        assert!(told.starts_with("→ Nothing: the provider answered before"));
    }
    let line = |key: &str| {
        let name = format!("client configuration {key} ");
        output.lines().position(|line| line.contains(&name))
    };
    assert!(line("untrusted") < line("a-stalled"), "{output}");
}
