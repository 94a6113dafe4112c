//! Profiles of clients that come to their tokens without any person.
//!
//! Google: `developers.google.com/identity/protocols/oauth2/service-account`. Microsoft: the Exchange page on OAuth for legacy
//! protocols, part on the client credentials grant flow.

use mailmesh_domain::TokenEndpointAuth;
use url::Url;

use super::{Defaults, cloud_of, google, microsoft};

pub(super) fn google_service_account() -> Defaults {
    let scopes = vec!["https://mail.google.com/".to_owned()];
    Defaults {
        // The statement proves the client, too.
        auth: TokenEndpointAuth::PrivateKeyJwt,
        inbound_scopes: scopes.clone(),
        protocol_scopes: Vec::new(),
        outbound_scopes: scopes,
        extra_authorize: Vec::new(),
        documentation: "https://developers.google.com/identity/protocols/oauth2/service-account",
        ..google()
    }
}

pub(super) fn microsoft_app_only(base_url: Option<&Url>) -> Defaults {
    let cloud = cloud_of(base_url);
    // Elsewhere either name of the resource will do; Exchange documents this one for applications.
    let resource = match cloud.resource {
        "https://outlook.office.com/" => "https://outlook.office365.com/",
        other => other,
    };
    let scopes = vec![format!("{resource}.default")];
    Defaults {
        inbound_scopes: scopes.clone(),
        protocol_scopes: Vec::new(),
        outbound_scopes: scopes,
        ..microsoft(base_url)
    }
}

/// Returns whether Microsoft's authority stands for many tenants, so that an application has no token of its own there.
pub fn is_shared_authority(authority: &Url) -> bool {
    let mut segments = authority.path_segments().into_iter().flatten();
    let tenant = segments.next().unwrap_or_default().to_ascii_lowercase();
    matches!(
        tenant.as_str(),
        "" | "common" | "organizations" | "consumers"
    )
}
