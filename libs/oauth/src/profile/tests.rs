use super::*;

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

#[test]
fn names_are_read_back() {
    for profile in Profile::ALL {
        assert_eq!(profile.as_str().parse(), Ok(profile));
        assert_eq!(serde_json::to_value(profile).unwrap(), profile.as_str());
    }
    assert_eq!("Google".parse::<Profile>(), Err(UnknownProfile));
}

#[test]
fn microsoft_authorities_are_understood_as_pasted() {
    let tenant = "72f988bf-86f1-41af-91ab-2d7cd011db47";
    let login = "https://login.microsoftonline.com";
    for (base, tenant, issuer) in [
        (None, "common", "{tenantid}"),
        (Some(format!("{login}/common/")), "common", "{tenantid}"),
        (
            Some(format!("{login}/organizations/v2.0")),
            "organizations",
            "{tenantid}",
        ),
        (
            Some(format!("{login}/contoso.com")),
            "contoso.com",
            "{tenantid}",
        ),
        (Some(format!("{login}/{tenant}/?a=b#c")), tenant, tenant),
    ] {
        let base = base.as_deref().map(url);
        let found = Profile::Microsoft
            .defaults(base.as_ref())
            .endpoints
            .unwrap();

        let at = |suffix: &str| format!("{login}/{tenant}{suffix}");
        assert_eq!(found.authorize.as_str(), at("/oauth2/v2.0/authorize"));
        assert_eq!(found.token.as_str(), at("/oauth2/v2.0/token"));
        assert_eq!(found.jwks.unwrap().as_str(), at("/discovery/v2.0/keys"));
        assert_eq!(found.issuer.unwrap(), format!("{login}/{issuer}/v2.0"));
    }
}

#[test]
fn a_sovereign_cloud_brings_its_own_hosts() {
    let base = url("https://login.microsoftonline.us/common");

    let found = Profile::Microsoft.defaults(Some(&base));

    let imap = "https://outlook.office365.us/IMAP.AccessAsUser.All";
    assert!(found.inbound_scopes.iter().any(|scope| scope == imap));
    let pop3 = "https://outlook.office365.us/POP.AccessAsUser.All";
    let [(Protocol::Pop3, pop3_scopes)] = found.protocol_scopes.as_slice() else {
        panic!("scopes of POP3 alone");
    };
    assert!(pop3_scopes.iter().any(|scope| scope == pop3));
    assert!(!pop3_scopes.iter().any(|scope| scope == imap));
    let servers: Vec<(&str, u16)> = found
        .mail_servers
        .iter()
        .map(|server| (server.host, server.port))
        .collect();
    assert_eq!(
        servers,
        [
            ("outlook.office365.us", 993),
            ("outlook.office365.us", 995),
            ("smtp.office365.us", 587)
        ]
    );
}

#[test]
fn known_providers_have_a_server_and_scopes_for_each_protocol() {
    let mail = "https://mail.google.com/";
    let google = Profile::Google.defaults(None);
    let pop3 = (Protocol::Pop3, google.inbound_scopes.clone());
    assert_eq!(google.protocol_scopes, [pop3]);
    assert!(google.inbound_scopes.iter().any(|scope| scope == mail));
    for profile in [Profile::Google, Profile::Microsoft] {
        let found = profile.defaults(None);
        for &protocol in Protocol::ALL {
            let servers = found.mail_servers.iter();
            let of_protocol = servers.filter(|server| server.protocol == protocol);
            assert_eq!(of_protocol.count(), 1, "{profile:?} {protocol:?}");
        }
    }
}

#[test]
fn every_known_endpoint_is_protected() {
    for profile in [Profile::Google, Profile::Microsoft] {
        let endpoints = profile.defaults(None).endpoints.unwrap();
        assert!(crate::is_protected(&endpoints.authorize));
        assert!(crate::is_protected(&endpoints.token));
        assert!(endpoints.jwks.is_some() && endpoints.issuer.is_some());
    }
}
