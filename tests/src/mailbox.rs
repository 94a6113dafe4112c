use anyhow::{Context, ensure};
use mailmesh_sandbox::{LastPage, Visitor};
use mailmesh_testkit::{GreenMail, TestServers};
use serde_json::{Value, json};

use crate::world::{CLIENT, World};

/// A mailbox at the sandbox, with an inbound and an outbound account on it.
#[derive(Debug, Clone)]
pub struct SandboxMailbox {
    /// The address, which is also the login.
    pub address: String,
    /// The inbound account's key.
    pub inbound: String,
    /// The outbound account's key.
    pub outbound: String,
}

/// A mailbox at GreenMail whose password is the access token that the sandbox issued.
#[derive(Debug, Clone)]
pub struct GreenMailbox {
    /// The server.
    pub server: &'static GreenMail,
    /// The address, which is also the login.
    pub address: String,
    /// The inbound account's key.
    pub inbound: String,
    /// The outbound account's key.
    pub outbound: String,
}

impl World {
    /// Makes a mailbox at the sandbox and connects it through the provider's own pages.
    ///
    /// # Errors
    ///
    /// Fails with the page at which it ended.
    pub async fn connect_sandbox(&mut self, name: &str) -> anyhow::Result<SandboxMailbox> {
        let mailbox = self.add_sandbox_accounts(name, &json!({})).await?;
        self.sign_in(&mailbox.inbound, &mailbox.address).await?;
        self.access_token(&mailbox.inbound).await?;
        Ok(mailbox)
    }

    /// Makes a mailbox at the sandbox and accounts for it; nobody has signed in yet. `inbound` holds
    /// further fields of the inbound account.
    ///
    /// # Errors
    ///
    /// Fails when the API refuses.
    pub async fn add_sandbox_accounts(
        &mut self,
        name: &str,
        inbound: &Value,
    ) -> anyhow::Result<SandboxMailbox> {
        let mailbox = SandboxMailbox {
            address: format!("{name}@sandbox.test"),
            inbound: name.to_owned(),
            outbound: format!("{name}-out"),
        };
        let password = format!("planted-password-of-{name}-Zr5");
        self.sandbox.mail().create(&mailbox.address, &password)?;
        self.plant(&format!("password of {name}"), &password);
        let mail = self.sandbox.addresses().mail;
        let mut account = json!({
            "key": mailbox.inbound,
            "protocol": "imap",
            "host": "localhost",
            "port": mail.imap_tls.port(),
            "encryption": "tls",
            "login": mailbox.address,
            "client_configuration": CLIENT,
            "ca_pem": self.sandbox.ca_pem(),
        });
        if let (Some(account), Some(further)) = (account.as_object_mut(), inbound.as_object()) {
            account.extend(further.clone());
        }
        self.api.post("/v1/accounts", &account).await?;
        let account = json!({
            "key": mailbox.outbound,
            "protocol": "smtp",
            "host": "localhost",
            "port": mail.smtp_tls.port(),
            "encryption": "tls",
            "login": mailbox.address,
            "client_configuration": CLIENT,
            "ca_pem": self.sandbox.ca_pem(),
        });
        self.api.post("/v1/accounts", &account).await?;
        Ok(mailbox)
    }

    /// Returns a new sign-in link of an account.
    ///
    /// # Errors
    ///
    /// Fails when the API refuses.
    pub async fn sign_in_link(&self, account: &str) -> anyhow::Result<url::Url> {
        let path = format!("/v1/accounts/{account}/sign-in");
        let answer = self.api.post(&path, &json!({})).await?;
        let link = answer.get("url").and_then(Value::as_str);
        Ok(link.context("no sign-in link")?.parse()?)
    }

    /// Signs in as the mailbox's owner, through the real pages.
    ///
    /// # Errors
    ///
    /// Fails with the page at which it ended, if that is not the page of success.
    pub async fn sign_in(&self, account: &str, address: &str) -> anyhow::Result<LastPage> {
        let link = self.sign_in_link(account).await?;
        let page = Visitor::try_new(None)?
            .sign_in(&link, address, true)
            .await?;
        ensure!(
            page.status == 200,
            "the sign-in ended at {} with status {}: {}",
            page.url,
            page.status,
            page.html
        );
        Ok(page)
    }

    /// Makes a mailbox at GreenMail that takes the sandbox's access token, and accounts for it.
    ///
    /// # Errors
    ///
    /// Fails when anybody refuses.
    pub async fn connect_greenmail(&mut self, name: &str) -> anyhow::Result<GreenMailbox> {
        let server = TestServers::shared().await?.greenmail().await?;
        // GreenMail is shared, so its addresses carry the prefix. Its password can only be set once
        // the token is known, so the sign-in is made for an account at the sandbox's own server.
        let signed_in = format!("{}-{name}", self.base.prefix());
        let mailbox = self.connect_sandbox(&signed_in).await?;
        let greenmailbox = GreenMailbox {
            server,
            address: mailbox.address.clone(),
            inbound: name.to_owned(),
            outbound: format!("{name}-out"),
        };
        let token = self.access_token(&mailbox.inbound).await?;
        server.create_user(&mailbox.address, &token).await?;
        for (key, protocol, port) in [
            (&greenmailbox.inbound, "imap", server.ports().imap),
            (&greenmailbox.outbound, "smtp", server.ports().smtp),
        ] {
            let account = json!({
                "key": key,
                "protocol": protocol,
                "host": server.host(),
                "port": port,
                "encryption": "none",
                "login": mailbox.address,
                "client_configuration": CLIENT,
            });
            let made = self.api.post("/v1/accounts", &account).await?;
            ensure!(
                made.get("grant").is_some_and(|grant| !grant.is_null()),
                "{key} did not get the grant of its mailbox: {made}"
            );
        }
        for key in [&mailbox.inbound, &mailbox.outbound] {
            self.api.delete(&format!("/v1/accounts/{key}")).await?;
        }
        Ok(greenmailbox)
    }
}
