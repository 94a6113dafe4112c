use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::account::named;

named! {
    /// Whether a grant can still be refreshed.
    GrantState as "grant state" {
        /// Refreshes as far as was seen.
        Active = "active",
        /// The provider refused it: a person must sign in again.
        SignInRequired = "sign_in_required",
        /// The client configuration is refused; the grant itself may be fine.
        Suspended = "suspended",
    }
}

named! {
    /// How the client proves itself at the token endpoint.
    TokenEndpointAuth as "token endpoint authentication" {
        /// HTTP Basic with form-encoded id and secret (RFC 6749 §2.3.1).
        ClientSecretBasic = "client_secret_basic",
        /// Id and secret in the form body.
        ClientSecretPost = "client_secret_post",
        /// A statement signed with the client's private key (RFC 7523 §2.2).
        PrivateKeyJwt = "private_key_jwt",
        /// Public client: id in the form body, PKCE alone.
        None = "none",
    }
}

named! {
    /// What the holder of an API key may do.
    Role as "role" {
        /// Everything.
        Administrator = "administrator",
        /// Accounts and sign-in, never secrets.
        Modeller = "modeller",
        /// Read only.
        Viewer = "viewer",
    }
}
