//! The address at which browsers come back from a provider, and what is to be registered there.

use mailmesh_oauth::PublicSettings;
use mailmesh_store::client_configuration::{self, ClientConfiguration};
use mailmesh_store::{Database, StoreError};

use super::Finding;
use crate::config::Config;

const WHAT: &str = "the public URL";

/// Without the database it is not known which redirect URI each client configuration uses.
pub(super) async fn examine(config: &Config, database: Option<&Database>) -> Finding {
    let Some(public) = &config.public else {
        return Finding::well(format!(
            "{WHAT}: not set, so sign-ins come back to localhost"
        ));
    };
    let url = &public.url;
    let is_local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    if url.scheme() != "https" && !is_local {
        return Finding::bad(
            WHAT,
            format!("{url} is not https, and providers refuse that"),
            "Put auth-callback behind TLS and set public.url to its https address.",
        );
    }
    let clients = match database {
        // That they cannot be read is a finding of the database's own.
        Some(database) => list(database).await.unwrap_or_default(),
        None => Vec::new(),
    };
    Finding::well(registered(public, &clients))
}

async fn list(database: &Database) -> Result<Vec<ClientConfiguration>, StoreError> {
    client_configuration::list(&mut database.begin().await?).await
}

fn registered(public: &PublicSettings, clients: &[ClientConfiguration]) -> String {
    if clients.is_empty() {
        return format!("{WHAT}; register {}", public.redirect_uri());
    }
    let uris = clients.iter().map(|client| {
        let uri = if client.is_redirect_shared {
            public.redirect_uri()
        } else {
            public.own_redirect_uri(client.key.as_str())
        };
        format!("{uri} for {}", client.key)
    });
    let uris: Vec<String> = uris.collect();
    format!("{WHAT}; register {}", uris.join(", "))
}
