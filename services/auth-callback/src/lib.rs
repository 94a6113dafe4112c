//! Receives the provider's answer to a sign-in and stores the grant.
