use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::account::named;

named! {
    /// How a client comes to its access tokens.
    Flow as "flow" {
        /// A person signs in (RFC 6749 §4.1).
        User = "user",
        /// The client asks in its own name (RFC 6749 §4.4).
        ClientCredentials = "client_credentials",
        /// The client signs a statement that it acts for the mailbox (RFC 7523 §2.1).
        JwtBearer = "jwt_bearer",
    }
}

impl Flow {
    /// Returns whether tokens are asked for without any person: there is nobody to sign in, and no refresh token.
    pub const fn is_app(self) -> bool {
        match self {
            Self::User => false,
            Self::ClientCredentials | Self::JwtBearer => true,
        }
    }
}
