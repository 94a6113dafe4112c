use reqwest::Method;
use serde_json::Value;

use crate::world::World;

#[tokio::test]
async fn the_page_runs_nothing_but_its_own_script() {
    let world = World::new().await.unwrap();

    let page = world
        .call_as(None, Method::GET, "/", &Value::Null)
        .await
        .unwrap();

    assert_eq!(page.status, 200);
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'sha256-"));
    assert!(!policy.contains("unsafe"), "{policy}");
    for dangerous in [
        "innerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        " onclick=",
        " style=",
        "src=\"http",
    ] {
        assert!(!page.text.contains(dangerous), "{dangerous}");
    }
    world.finish().await.unwrap();
}
