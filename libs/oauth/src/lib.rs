//! Talks to OAuth 2.0 providers: authorise URL, code exchange, refresh, identity, and a verdict on every failure.
