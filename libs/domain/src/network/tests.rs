use super::*;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn only_addresses_of_the_public_internet_are_public() {
    for text in [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",
        "192.0.2.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.7",
        "203.0.113.7",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::7f00:1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::a00:1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "3fff::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ] {
        assert!(!is_public(address(text)), "{text}");
    }
    for text in [
        "8.8.8.8",
        "100.63.0.1",
        "100.128.0.1",
        "172.15.0.1",
        "172.32.0.1",
        "192.0.1.1",
        "223.255.255.1",
        "2001:4860:4860::8888",
        "2a00:1450:4001::1",
        "2606:4700::1111",
    ] {
        assert!(is_public(address(text)), "{text}");
    }
}

#[test]
fn an_allowed_network_is_permitted_and_no_other() {
    let allow = ["10.0.0.0/8", "fd00::/8", "192.168.7.9", "0.0.0.0/32"];
    let settings = NetworkSettings {
        allow: allow.map(|text| text.parse().unwrap()).to_vec(),
    };
    let rule = AddressRule::public(&settings);
    for (text, is_permitted) in [
        ("10.255.0.1", true),
        ("::ffff:10.1.2.3", true),
        ("fdff::1", true),
        ("192.168.7.9", true),
        ("8.8.8.8", true),
        ("0.0.0.0", true),
        ("11.0.0.1", true),
        ("192.168.7.8", false),
        ("127.0.0.1", false),
        ("fc00::1", false),
    ] {
        assert_eq!(rule.permits(address(text)), is_permitted, "{text}");
    }
    assert!(AddressRule::Any.permits(address("127.0.0.1")));
}

#[test]
fn networks_are_read_as_cidr() {
    for text in [
        "0.0.0.0/0",
        "::/0",
        "10.0.0.0/8",
        "127.0.0.1/32",
        "::1",
        "fe80::/10",
    ] {
        assert!(text.parse::<AddressRange>().is_ok(), "{text}");
    }
    for text in [
        "",
        "10.1.0.0/8",
        "10.0.0.0/33",
        "fd00::1/8",
        "::/129",
        "10.0.0.0/",
        "example.com",
        "10/8",
    ] {
        assert_eq!(text.parse::<AddressRange>(), Err(InvalidRange), "{text}");
    }
    assert!(
        "::/0"
            .parse::<AddressRange>()
            .unwrap()
            .contains(address("fe80::1"))
    );
    assert!(
        "0.0.0.0/0"
            .parse::<AddressRange>()
            .unwrap()
            .contains(address("255.1.1.1"))
    );
}

#[test]
fn hosts_are_names_of_rfc_1123_or_addresses() {
    for text in [
        "imap.example.com",
        "a",
        "xn--mller-kva.example",
        "3com.example",
        "A-1.b",
        "192.0.2.1",
        "::1",
        "[2001:db8::1]",
    ] {
        assert!(HostName::try_new(text).is_ok(), "{text}");
    }
    let long = format!("{}.example", "a".repeat(64));
    let longer = ["abcdefg"; 40].join(".");
    for text in [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "-a.b",
        "a-.b",
        "a_b.c",
        "a b",
        "müller.example",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0x7f000001",
        "a.0X7f",
        "1.2.3.4.5",
        "256.1.1.1",
        "a:25",
        "user@host",
        "host/path",
        "a\u{0}b",
        "[192.0.2.1]",
        "[::1",
        "fe80::1%eth0",
        "a?b",
        "a#b",
        long.as_str(),
        longer.as_str(),
    ] {
        assert_eq!(HostName::try_new(text), Err(InvalidHost), "{text}");
    }
    for (text, is_local) in [
        ("LOCALHOST", true),
        ("a.localhost", true),
        ("127.0.0.9", true),
        ("::ffff:127.0.0.1", true),
        ("localhost.example", false),
    ] {
        assert_eq!(
            HostName::try_new(text).unwrap().is_local_name(),
            is_local,
            "{text}"
        );
    }
}
