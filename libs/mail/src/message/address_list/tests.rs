use super::*;

fn shown(value: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    read(value, |mailbox| {
        found.push(match mailbox.name {
            Some(name) => format!("{name} <{}>", mailbox.address),
            None => mailbox.address,
        });
        true
    });
    found
}

#[test]
fn lists_are_read_as_standards_have_them() {
    for (value, expected) in [
        ("a@x.y", &["a@x.y"][..]),
        ("Ann <a@x.y>, b@x.y", &["Ann <a@x.y>", "b@x.y"]),
        ("\"B, \\\"A\\\"\" <a@x.y>", &["B, \"A\" <a@x.y>"]),
        ("a@x.y (Ann (B))", &["Ann (B) <a@x.y>"]),
        ("Ann (Sales) B <a@x.y>", &["Ann B <a@x.y>"]),
        (
            "Team: Ann <a@x.y>, b@x.y;, c@x.y",
            &["Ann <a@x.y>", "b@x.y", "c@x.y"],
        ),
        ("undisclosed-recipients:;", &[]),
        ("\"ann b\"@x.y", &["\"ann b\"@x.y"]),
        (
            "\"a\\\"b\"@x.y, \"x@y\"@x.y",
            &["\"a\\\"b\"@x.y", "\"x@y\"@x.y"],
        ),
        ("Ann <\"ann b\"@x.y>", &["Ann <\"ann b\"@x.y>"]),
        ("Old <@relay.x,@b.y:a@x.y>", &["Old <a@x.y>"]),
        ("Ann <a @ x . y>", &["Ann <a@x.y>"]),
        ("a @ x . y", &["a@x.y"]),
        ("a . b @ x . y", &["a.b@x.y"]),
        ("a. b@x.y", &["a.b@x.y"]),
        ("a .b@x.y, c@x. y", &["a.b@x.y", "c@x.y"]),
        ("\"a\" . b @ x.y", &["\"a.b\"@x.y"]),
        ("a(c)@(d)x.y", &["d <a@x.y>"]),
        (
            "a@[192.0.2.1], b@[IPv6:2001:db8::1]",
            &["a@[192.0.2.1]", "b@[IPv6:2001:db8::1]"],
        ),
        ("Zoë <zoe@bücher.example>", &["Zoë <zoe@bücher.example>"]),
        ("=?utf-8?q?Doe,_J_(x)?= <a@x.y>", &["Doe, J (x) <a@x.y>"]),
    ] {
        assert_eq!(shown(value.as_bytes()), expected, "{value}");
    }
}

#[test]
fn lists_are_read_as_people_write_them() {
    for (value, expected) in [
        ("a@x.y b@x.y", &["a@x.y", "b@x.y"][..]),
        ("a@x.y; b@x.y;", &["a@x.y", "b@x.y"]),
        ("a@x.y, , b@x.y,", &["a@x.y", "b@x.y"]),
        ("Ann <a@x.y> Ben <b@x.y>", &["Ann <a@x.y>", "Ben <b@x.y>"]),
        ("<a@x.y><b@x.y>", &["a@x.y", "b@x.y"]),
        ("<a@x.y> b@x.y", &["a@x.y", "b@x.y"]),
        ("Ann a@x.y Ben b@x.y", &["Ann <a@x.y>", "Ben <b@x.y>"]),
        ("a@x.y Ann", &["Ann <a@x.y>"]),
        ("<a@x.y> Ann", &["Ann <a@x.y>"]),
        ("a@x.y <b@x.y>", &["a@x.y <b@x.y>"]),
        ("<a@x.y, <b@x.y>", &["a@x.y", "b@x.y"]),
        (
            "Example, Ann <a@x.y>, Ben <b@x.y>",
            &["Example, Ann <a@x.y>", "Ben <b@x.y>"],
        ),
        ("Example, Ann, Dr. <a@x.y>", &["Example, Ann, Dr. <a@x.y>"]),
        ("Dr. A. Example <a@x.y>", &["Dr. A. Example <a@x.y>"]),
        ("Ann B. b@x.y", &["Ann B. <b@x.y>"]),
        ("Ann @ Example <a@x.y>", &["Ann @ Example <a@x.y>"]),
        ("<mailto:a@x.y>, mailto:b@x.y", &["a@x.y", "b@x.y"]),
        ("taro.@x.y, a..b@x.y", &["taro.@x.y", "a..b@x.y"]),
        ("\"Ann <a@x.y>", &["Ann <a@x.y>"]),
        ("(Ann <a@x.y>", &["(Ann <a@x.y>"]),
        ("a@x.y: b@x.y", &["a@x.y", "b@x.y"]),
        ("a@x.y <>", &["a@x.y"]),
        ("Ann a@x.y>", &["Ann <a@x.y>"]),
        ("Ann (a@x.y)", &["Ann <a@x.y>"]),
        ("\"a@x.y\"", &["a@x.y"]),
        ("'a@x.y', 'b@x.y'", &["a@x.y", "b@x.y"]),
        ("<'a@x.y'>", &["a@x.y"]),
        ("Ann <a@x.y.>", &["Ann <a@x.y>"]),
        ("<<a@x.y>>, b@x.y", &["a@x.y", "b@x.y"]),
        ("Ann < Bob <a@x.y>, b@x.y", &["Ann <a@x.y>", "b@x.y"]),
        ("Ann [mailto:a@x.y], [b@x.y]", &["Ann <a@x.y>", "b@x.y"]),
        (
            "\u{200b}a@x.y\u{200b}, <\u{feff}b@x.y>",
            &["a@x.y", "b@x.y"],
        ),
        ("=?utf-8?q?Eva_=3Ceva=40x=2Ey=3E?=", &["Eva <eva@x.y>"]),
        ("<=?utf-8?q?eva=40x=2Ey?=>", &["eva@x.y"]),
        (
            "a.\"b c\"@x.y, \"a\".\"b\"@x.y",
            &["\"a.b c\"@x.y", "\"a.b\"@x.y"],
        ),
    ] {
        assert_eq!(shown(value.as_bytes()), expected, "{value}");
    }
    assert_eq!(
        shown(b"J\xfcrgen <a@x.y>, Zo\xc3\xab <z@x.y>"),
        ["Jürgen <a@x.y>", "Zoë <z@x.y>"]
    );
}

#[test]
fn names_stay_where_no_address_can_be_sent_to() {
    for (value, expected) in [
        ("Cron Daemon <root>", &["Cron Daemon <root>"][..]),
        ("root (Cron Daemon)", &["Cron Daemon <root>"]),
        ("root", &["root"]),
        ("root, a@x.y", &["root", "a@x.y"]),
        (
            "root, www, news, mail, a@x.y, B C",
            &["root", "www", "news", "mail", "a@x.y", "B C <>"],
        ),
        ("MAILER-DAEMON <>", &["MAILER-DAEMON <>"]),
        ("<>, a@x.y", &["a@x.y"]),
        ("Undisclosed recipients", &["Undisclosed recipients <>"]),
        ("zoë@x.y", &["zoë@x.y <>"]),
        ("Ann <ann b@x.y>", &["Ann <>"]),
        ("<ann b@x.y>", &["ann b@x.y <>"]),
        ("Ann <a@-x-.y>", &["Ann <>"]),
        ("Ann <a@x.y@z>", &["Ann <>"]),
        ("@x.y", &["@x.y <>"]),
        ("<@x.y>", &["@x.y <>"]),
        ("a\0b@x.y", &["ab@x.y\u{fffd} <>"]),
        ("", &[]),
        (",;:<>\"", &[]),
    ] {
        assert_eq!(shown(value.as_bytes()), expected, "{value}");
    }
}

#[test]
fn reading_stops_when_told() {
    let mut count = 0;
    read("a@x.y, ".repeat(1000).as_bytes(), |_| {
        count += 1;
        count < 3
    });
    assert_eq!(count, 3);
}
