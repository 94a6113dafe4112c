use mailmesh_sandbox::Personality;
use serde_json::{Value, json};

use crate::oauth::driver::{ANN, Driver, read_answer};

#[tokio::test]
async fn mailbox_is_made_filled_read_and_removed() {
    let driver = Driver::start(Personality::Standard).await.unwrap();
    let new = json!({"address": "Carl@sandbox.test", "password": "x"});

    let made = driver
        .control("POST", "/mailboxes", new.clone())
        .await
        .unwrap();
    let again = driver.control("POST", "/mailboxes", new).await.unwrap();
    assert_eq!((made.status, again.status), (201, 409));

    let raw = "Subject: Hi\r\n\r\nHello\r\n";
    let mails = format!(
        "{}/mailboxes/carl@sandbox.test/mails",
        driver.sandbox.addresses().control
    );
    let delivered = driver.http.post(&mails).body(raw).send().await.unwrap();
    let delivered = read_answer(delivered).await.unwrap();
    assert_eq!(
        (delivered.status, &delivered.body),
        (201, &json!({"uid": 1}))
    );

    let path = "/mailboxes/carl@sandbox.test/mails/1";
    let flags = json!({"flags": ["\\Seen"]});
    assert_eq!(
        driver.control("PUT", path, flags).await.unwrap().status,
        204
    );
    let path = "/mailboxes/carl@sandbox.test/mails";
    let listed = driver.control("GET", path, Value::Null).await.unwrap();
    assert_eq!(listed.body[0]["flags"], json!(["\\Seen"]));
    let read = driver.http.get(format!("{mails}/1")).send().await.unwrap();
    assert_eq!(read.text().await.unwrap(), raw);

    let path = "/mailboxes/carl@sandbox.test";
    let removed = driver.control("DELETE", path, Value::Null).await.unwrap();
    let gone = driver.control("DELETE", path, Value::Null).await.unwrap();
    assert_eq!((removed.status, gone.status), (204, 404));
}

#[tokio::test]
async fn token_given_without_a_browser_expires_and_is_revoked_on_command() {
    let driver = Driver::start(Personality::Standard).await.unwrap();
    let request = json!({
        "address": ANN, "client_id": "mesh", "scopes": ["openid", "mail"], "offline": true,
    });
    let tokens = driver.control("POST", "/tokens", request).await.unwrap();
    let access = tokens.text("access_token").unwrap();
    assert_eq!(driver.userinfo(&access).await.unwrap().status, 200);

    let owner = json!({"address": ANN});
    let expired = driver
        .control("POST", "/tokens/expire", owner.clone())
        .await;
    assert_eq!(expired.unwrap().body, json!({"expired": 1}));
    assert_eq!(driver.userinfo(&access).await.unwrap().status, 401);

    let refresh = tokens.text("refresh_token").unwrap();
    let renewed = driver.refresh(&refresh, &[]).await.unwrap();
    let revoked = driver.control("POST", "/tokens/revoke", owner).await;
    assert_eq!(revoked.unwrap().body, json!({"revoked": 1}));
    let renewed = renewed.text("refresh_token").unwrap();
    assert_eq!(driver.refresh(&renewed, &[]).await.unwrap().status, 400);
}

#[tokio::test]
async fn life_of_new_access_tokens_follows_the_control() {
    let driver = Driver::start(Personality::Standard).await.unwrap();

    let life = json!({"seconds": 5});
    let set = driver.control("PUT", "/tokens/life", life).await.unwrap();

    assert_eq!(set.status, 204);
    let tokens = driver.sign_in(&[]).await.unwrap();
    assert_eq!(tokens.body["expires_in"], 5);
}

#[tokio::test]
async fn client_registered_while_running_may_sign_in() {
    let driver = Driver::start(Personality::Standard).await.unwrap();
    let redirect = "https://mesh.test/cb";
    let client = json!({
        "client_id": "late", "client_secret": "late", "redirect_uris": [redirect],
    });

    let made = driver.control("POST", "/clients", client).await.unwrap();
    assert_eq!(made.status, 201);
    let fields = [("client_id", "late"), ("redirect_uri", redirect)];
    let code = driver.code(&fields).await.unwrap();
    let fields = [fields[0], fields[1], ("client_secret", "late")];
    assert_eq!(driver.exchange(&code, &fields).await.unwrap().status, 200);

    let listed = driver
        .control("GET", "/clients", Value::Null)
        .await
        .unwrap();
    assert!(!listed.body.to_string().contains("client_secret"));
    let relative = json!({"client_id": "bad", "redirect_uris": ["/cb"]});
    let refused = driver.control("POST", "/clients", relative).await.unwrap();
    assert_eq!(refused.status, 400);
}

#[tokio::test]
async fn folders_are_made_renamed_and_removed() {
    let driver = Driver::start(Personality::Standard).await.unwrap();
    let path = format!("/mailboxes/{ANN}/folders");
    let name = |name: &str| json!({ "name": name });

    let made = driver.control("POST", &path, name("Work")).await.unwrap();
    let again = driver.control("POST", &path, name("Work")).await.unwrap();
    let one = format!("{path}/Work");
    let renamed = driver.control("PUT", &one, name("Office")).await.unwrap();
    let gone = driver.control("DELETE", &one, Value::Null).await.unwrap();
    let inbox = format!("{path}/INBOX");
    let kept = driver.control("DELETE", &inbox, Value::Null).await.unwrap();
    let one = format!("{path}/Office");
    let removed = driver.control("DELETE", &one, Value::Null).await.unwrap();

    assert_eq!((made.status, again.status), (201, 409));
    assert_eq!((renamed.status, gone.status), (204, 404));
    assert_eq!((kept.status, removed.status), (409, 204));
}

#[tokio::test]
async fn quirks_of_pop3_are_set_and_shown() {
    let driver = Driver::start(Personality::Standard).await.unwrap();
    let path = format!("/mailboxes/{ANN}/pop3");
    let quirks = json!({"uidl": "content", "uidls": {"7": "x"}, "listed_at_most": 3});

    let set = driver.control("PUT", &path, quirks).await.unwrap();
    let shown = driver.control("GET", &path, Value::Null).await.unwrap();
    let unknown = json!({"uidl": "tea"});
    let refused = driver.control("PUT", &path, unknown).await.unwrap();

    assert_eq!((set.status, refused.status), (204, 422));
    assert_eq!(shown.body["uidl"], "content");
    assert_eq!(shown.body["uidls"], json!({"7": "x"}));
    assert_eq!(shown.body["listed_at_most"], 3);
    assert_eq!(shown.body["size_error"], 0);
}

#[tokio::test]
async fn faults_are_set_listed_and_cleared() {
    let driver = Driver::start(Personality::Standard).await.unwrap();
    let rule = json!({"point": "oauth.token", "after": 1, "fault": {"kind": "cut"}});

    let made = driver.control("POST", "/faults", rule).await.unwrap();
    assert_eq!((made.status, &made.body), (201, &json!({"id": 1})));
    let unknown = json!({"point": "oauth.tea", "fault": {"kind": "cut"}});
    let refused = driver.control("POST", "/faults", unknown).await.unwrap();
    assert_eq!(refused.status, 400);

    let tokens = driver.sign_in(&[]).await.unwrap();
    assert_eq!(tokens.status, 200, "the first visit passes");
    let token = tokens.text("refresh_token").unwrap();
    assert!(driver.refresh(&token, &[]).await.is_err());
    let listed = driver.control("GET", "/faults", Value::Null).await.unwrap();
    assert_eq!(listed.body[0]["taken"], 1);

    driver
        .control("DELETE", "/faults", Value::Null)
        .await
        .unwrap();
    let listed = driver.control("GET", "/faults", Value::Null).await.unwrap();
    assert_eq!(listed.body, json!([]));
}

#[tokio::test]
async fn counters_tell_how_often_a_mailbox_was_refreshed() {
    let driver = Driver::start(Personality::Google).await.unwrap();
    let tokens = driver.sign_in(&[("access_type", "offline")]).await.unwrap();
    let token = tokens.text("refresh_token").unwrap();

    driver.refresh(&token, &[]).await.unwrap();

    let counters = driver
        .control("GET", "/counters", Value::Null)
        .await
        .unwrap();
    let ann = &counters.body["oauth"]["mailboxes"][ANN];
    assert_eq!(
        ann,
        &json!({"app_tokens": 0, "code_exchanges": 1, "refreshes": 1, "refused_refreshes": 0})
    );
    assert_eq!(counters.body["sign_ins"][ANN], 0);
}

#[tokio::test]
async fn rotated_key_replaces_the_published_one() {
    let driver = Driver::start(Personality::Standard).await.unwrap();
    let read = || async {
        let response = driver.http.get(driver.url("/jwks")).send().await;
        read_answer(response.unwrap()).await.unwrap().body
    };
    let before = read().await;

    driver
        .control("POST", "/keys/rotate", Value::Null)
        .await
        .unwrap();

    assert_ne!(before, read().await);
}

#[tokio::test]
async fn front_page_of_the_control_says_where_everything_is() {
    let driver = Driver::start(Personality::Microsoft).await.unwrap();

    let front = driver.control("GET", "", Value::Null).await.unwrap();

    assert_eq!(front.body["sandbox"], true);
    assert_eq!(front.body["personality"], "microsoft");
    let imap = driver.sandbox.addresses().mail.imap.to_string();
    assert_eq!(front.body["imap"], imap);
    let pop3 = driver.sandbox.addresses().mail.pop3_tls.to_string();
    assert_eq!(front.body["pop3_tls"], pop3);
    assert_eq!(front.body["ca_pem"], driver.sandbox.ca_pem());
}
