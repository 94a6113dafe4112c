//! Providers' URLs, metadata and id tokens.

use super::{Row, When, always};
use crate::FailureCause as Cause;
use crate::MustAct::{Administrator, MailboxOwner, Nobody};
use crate::VerdictKind::{NeedsAdministrator, NeedsSignIn, Transient, Unknown};

pub(super) const ROWS: &[Row] = &[
    always(
        Cause::ProviderNotReached,
        Transient,
        Administrator,
        "Check that the provider's servers can be reached from this machine: they have not answered for over an hour. It is tried again by itself.",
    )
    .when(When::StandsLong),
    always(
        Cause::ProviderNotReached,
        Transient,
        Nobody,
        "Nothing: the provider answered before, and it is tried again by itself.",
    )
    .when(When::Worked),
    always(
        Cause::ProviderNotReached,
        Transient,
        Administrator,
        "Check the URLs of the client configuration, and whether a firewall is between: the provider was never reached. It is tried again by itself.",
    ),
    always(
        Cause::ProviderUntrusted,
        Unknown,
        Administrator,
        "Check the provider's URL. If its certificate comes from a private authority, add that authority's certificate to the configuration.",
    ),
    always(
        Cause::UrlInClear,
        NeedsAdministrator,
        Administrator,
        "Use https URLs in the client configuration; http is accepted for this machine only.",
    ),
    always(
        Cause::UrlNotAllowed,
        NeedsAdministrator,
        Administrator,
        "Allow the network with the setting network.allow, or name the URL in the client configuration, if the provider is meant to be there; else correct the issuer.",
    ),
    always(
        Cause::NoEndpoints,
        NeedsAdministrator,
        Administrator,
        "Give the client configuration an issuer, or an authorisation and a token endpoint.",
    ),
    always(
        Cause::NoMetadata,
        Unknown,
        Administrator,
        "Correct the issuer in the client configuration: the provider's metadata is not at this address.",
    ),
    always(
        Cause::NoKeySet,
        NeedsAdministrator,
        Administrator,
        "Correct the issuer in the client configuration, or give it the provider's key set as jwks_url: without one no id token can be checked.",
    ),
    always(
        Cause::OtherIssuer,
        NeedsAdministrator,
        Administrator,
        "Correct the issuer or base URL in the client configuration: it must be the one that the provider's metadata names.",
    ),
    always(
        Cause::NoMailbox,
        NeedsAdministrator,
        Administrator,
        "Have the client configuration ask for the scopes openid and email, and give it the issuer, or userinfo_url where the endpoints are named one by one: many providers tell the address there only. Or name the claim that holds it as identity_claim. An email that the provider calls unverified does not count.",
    ),
    always(
        Cause::MixedUp,
        NeedsSignIn,
        MailboxOwner,
        "Sign in once more. If it happens again, the administrator compares the client configuration's URLs with the provider's.",
    )
    .or(Administrator),
    always(
        Cause::NoIdToken,
        NeedsAdministrator,
        Administrator,
        "Check the provider's URLs in the client configuration. If the provider knows no OpenID Connect, take openid out of the scopes and name userinfo_url and identity_claim instead.",
    ),
    always(
        Cause::ClocksDiffer,
        NeedsAdministrator,
        Administrator,
        "Set the clock of this server: it and the provider's differ by more than two minutes.",
    ),
    always(
        Cause::IdTokenForOthers,
        NeedsAdministrator,
        Administrator,
        "Correct issuer, base URL or client id in the client configuration: the provider signs for others.",
    ),
    always(
        Cause::IdTokenForged,
        NeedsAdministrator,
        Administrator,
        "Check the issuer and key set URL of the client configuration: what the provider signs does not fit the keys it publishes.",
    ),
    always(
        Cause::IdTokenKeyUnknown,
        Unknown,
        Administrator,
        "Check the issuer and key set URL of the client configuration: what the provider signs does not fit the keys it publishes.",
    ),
    always(
        Cause::ClientFieldUnusable,
        NeedsAdministrator,
        Administrator,
        "Correct the client configuration: the field named here.",
    ),
];
