use super::*;

fn list(text: &str) -> Result<Vec<(Option<String>, String)>, AddressProblem> {
    let list = NamedAddress::parse_list(text)?;
    let pairs = list
        .into_iter()
        .map(|mailbox| (mailbox.name, mailbox.address));
    Ok(pairs.collect())
}

fn named(list: &[(&str, &str)]) -> Vec<(Option<String>, String)> {
    let pairs = list.iter().map(|(name, address)| {
        let name = Some((*name).to_owned()).filter(|name| !name.is_empty());
        (name, (*address).to_owned())
    });
    pairs.collect()
}

#[test]
fn all_that_a_list_names_is_read() {
    let cases: [(&str, &[(&str, &str)]); 22] = [
        (
            "Sales <a@example.org>, Support <b@example.org>",
            &[("Sales", "a@example.org"), ("Support", "b@example.org")],
        ),
        ("a@b.c;d@e.f", &[("", "a@b.c"), ("", "d@e.f")]),
        (
            "a@b.c; d@e.f, g@h.i;",
            &[("", "a@b.c"), ("", "d@e.f"), ("", "g@h.i")],
        ),
        ("a@b.c,,\t d@e.f ,", &[("", "a@b.c"), ("", "d@e.f")]),
        (
            "\"Doe, J.; <x@y.z>\" <j@b.c>, d@e.f",
            &[("Doe, J.; <x@y.z>", "j@b.c"), ("", "d@e.f")],
        ),
        (r#""A \"B\" \\" <a@b.c>"#, &[(r#"A "B" \"#, "a@b.c")]),
        (r#"Dr. "J, D" Doe <a@b.c>"#, &[("Dr. J, D Doe", "a@b.c")]),
        (
            "Team: a@b.c, J <d@e.f>; g@h.i",
            &[("", "a@b.c"), ("J", "d@e.f"), ("", "g@h.i")],
        ),
        ("A:a@b.c;,B:d@e.f;", &[("", "a@b.c"), ("", "d@e.f")]),
        ("empty:;, a@b.c", &[("", "a@b.c")]),
        (
            "a@b.c (Doe, (J)), d@e.f",
            &[("Doe, (J)", "a@b.c"), ("", "d@e.f")],
        ),
        (r"a@b.c (a \) b)", &[("a ) b", "a@b.c")]),
        ("Sales (EU, UK) <a@b.c>", &[("Sales (EU, UK)", "a@b.c")]),
        ("<a@b.c> (J)", &[("J", "a@b.c")]),
        ("J <a@b.c> (desk)", &[("J", "a@b.c")]),
        (
            "\"a, b\"@b.c, \"<\"@d.e",
            &[("", "\"a, b\"@b.c"), ("", "\"<\"@d.e")],
        ),
        (
            "J <\"a>b;\"@b.c>; d@e.f",
            &[("J", "\"a>b;\"@b.c"), ("", "d@e.f")],
        ),
        (
            "a@[IPv6:2001:db8::1], b@[192.0.2.1]",
            &[("", "a@[IPv6:2001:db8::1]"), ("", "b@[192.0.2.1]")],
        ),
        (
            "Zoë <zoe@bücher.example>,b@straße.example",
            &[
                ("Zoë", "zoe@xn--bcher-kva.example"),
                ("", "b@xn--strae-oqa.example"),
            ],
        ),
        ("山田、太郎 <t@b.c>", &[("山田、太郎", "t@b.c")]),
        (
            "[Desk] O'Neil & Co. <a@b.c>",
            &[("[Desk] O'Neil & Co.", "a@b.c")],
        ),
        ("a@b.c, a@b.c", &[("", "a@b.c"), ("", "a@b.c")]),
    ];
    for (text, expected) in cases {
        assert_eq!(list(text), Ok(named(expected)), "{text}");
    }
}

#[test]
fn a_list_is_refused_whole_where_anything_of_it_cannot_be_read() {
    for text in [
        "",
        " , ;",
        "a@b.c, d@e.f g@h.i",
        "a@b.c d@e.f",
        "A <a@b.c> B <d@e.f>",
        "A <a@b.c> d@e.f",
        "<a@b.c><d@e.f>",
        "Doe, Jane <j@b.c>",
        "Sales, a@b.c",
        "a@b.c, nobody",
        "d@e.f: a@b.c;",
        "J <d@e.f>: a@b.c;",
        "\"d@e.f\": a@b.c;",
        "Team: a@b.c",
        "A: B: a@b.c;;",
        ": a@b.c;",
        "Team:;",
        "mailto:a@b.c",
        "<@relay.example:a@b.c>",
        "<@r.example,@s.example:a@b.c>",
        "a@b.c (d@e.f)",
        "J (d@e.f) <a@b.c>",
        "J <a@b.c> (one) (two)",
        "(J) a@b.c",
        "a(x)@b.c",
        "a@b.c (open",
        "a@b.c)",
        "\"open <a@b.c>",
        "J <a@b.c",
        "J a@b.c>",
        "J <a@b.c>, <>",
        "<>",
        "J d@e.f <a@b.c>",
        "a@[b, d@e.f",
        "a@b.c/d@e.f",
        "a@b.c|d@e.f",
        "a@b.c and d@e.f",
        "a@x．y，d@e.f",
    ] {
        let read = NamedAddress::parse_list(text);
        assert!(read.is_err(), "{text} is read as {read:?}");
    }
    for text in [
        "a@b.c,\r\n d@e.f",
        "a@b.c\nd@e.f",
        "a@b.c,\0",
        "J\u{b} <a@b.c>",
    ] {
        let read = NamedAddress::parse_list(text);
        assert_eq!(read, Err(AddressProblem::ControlCharacter), "{text:?}");
    }
}

#[test]
fn a_list_is_read_in_linear_time() {
    let deep = format!("{}a@b.c", "(".repeat(1_000_000));
    for text in [
        "a@b.c,".repeat(200_000),
        "\"".repeat(1_000_000),
        "<".repeat(1_000_000),
        "<\"\"".repeat(300_000),
        "a@[".repeat(300_000),
        ",;:".repeat(300_000),
        deep,
    ] {
        let began = std::time::Instant::now();
        NamedAddress::parse_list(&text).ok();
        let start = text.get(..6).unwrap();
        assert!(began.elapsed().as_secs() < 5, "{start}");
    }
}
