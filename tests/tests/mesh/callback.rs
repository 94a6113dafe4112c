use mailmesh_sandbox::Visitor;
use mailmesh_tests::{Leftovers, Service, World, WorldSettings};
use serde_json::{Value, json};
use url::Url;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_and_replayed_answers_and_refused_consent_change_nothing() {
    let mut world = World::start(WorldSettings {
        services: vec![Service::Admin, Service::AuthCallback],
        ..WorldSettings::default()
    })
    .await
    .unwrap();
    let mailbox = world.add_sandbox_accounts("careful", &json!({})).await;
    let mailbox = mailbox.unwrap();
    let mut browser = Visitor::try_new(None).unwrap();

    let forged = answer(&world, &[("code", "stolen"), ("state", "guessed")]);
    let forged = browser.get(&forged).await.unwrap();
    assert_eq!(forged.status(), 400);
    let link = world.sign_in_link(&mailbox.inbound).await.unwrap();
    let denied = browser.sign_in(&link, &mailbox.address, false).await;
    let denied = denied.unwrap();
    assert!(denied.html.contains("access_denied"), "{}", denied.html);
    assert_eq!(grant(&world, &mailbox.inbound).await, Value::Null);

    // The link leads to the provider; the state is in the address.
    let link = world.sign_in_link(&mailbox.inbound).await.unwrap();
    let page = browser.get(&link).await.unwrap();
    let provider: Url = page.headers()["location"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    let state = provider.query_pairs().find(|(name, _)| name == "state");
    let state = state.unwrap().1.into_owned();
    let mut other_browser = Visitor::try_new(None).unwrap();
    let issuer = world.sandbox.addresses().issuer.clone();
    let fields = [
        ("code", "stolen"),
        ("state", state.as_str()),
        ("iss", &issuer),
    ];
    let signed_in = browser.sign_in(&provider, &mailbox.address, true).await;
    let signed_in = signed_in.unwrap();
    let replayed = browser.get(&answer(&world, &fields)).await.unwrap();
    let replayed_elsewhere = other_browser.get(&answer(&world, &fields)).await.unwrap();
    let again = browser.get(&link).await.unwrap();

    assert_eq!(signed_in.status, 200, "{}", signed_in.html);
    assert_eq!(replayed.status(), 400);
    assert_eq!(replayed_elsewhere.status(), 400);
    assert!(again.status().is_client_error(), "a link works once");
    let first = grant(&world, &mailbox.inbound).await;
    assert_eq!(first["generation"], 1);
    assert_eq!(world.sandbox.oauth_counters().total.code_exchanges, 1);
    world.finish(Leftovers::default()).await.unwrap();
}

fn answer(world: &World, fields: &[(&str, &str)]) -> Url {
    let mut url: Url = world.mesh.public_url().parse().unwrap();
    url.set_path("/oauth/callback");
    url.query_pairs_mut().extend_pairs(fields);
    url
}

async fn grant(world: &World, account: &str) -> Value {
    let path = format!("/v1/accounts/{account}");
    world.api.get(&path).await.unwrap()["grant"].clone()
}
