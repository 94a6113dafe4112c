use std::fmt::Write as _;

use super::*;

/// Draws from a sequence that is the same in each run.
struct Draw(u64);

impl Draw {
    fn next(&mut self, below: usize) -> usize {
        // Knuth's MMIX generator; its high bits are the random ones.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = self.0.wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % below
    }

    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.next(list.len())]
    }

    fn text(&mut self, alphabet: &[&str], most: usize) -> String {
        let count = 1 + self.next(most);
        (0..count).map(|_| self.of(alphabet)).collect()
    }

    fn address(&mut self, number: usize) -> String {
        let local = match self.next(4) {
            0 => format!(
                "\"{}\"",
                self.text(&["a", " ", ",", ";", "@", "<", ">", "\\\"", "\\\\", "("], 6)
            ),
            1 => format!("{}.", self.text(&["a", "b.", "..", "-"], 4)),
            _ => self.text(&["a", "B", "+", "_", "'", "x.y"], 4),
        };
        let domain = self.of(&[
            "example.org",
            "bücher.example",
            "[192.0.2.1]",
            "a-b.example",
        ]);
        // Numbered, so that no two are the same.
        match local.strip_prefix('"') {
            Some(quoted) => format!("\"{number}{quoted}@{domain}"),
            None => format!("{number}{local}@{domain}"),
        }
    }

    fn name(&mut self) -> String {
        let parts = [
            "Doe", " ", ", ", "ü", "\"", "\\", "<x@y.z>", ";", ":", "(", ")", "=?", "@", "山", "\t",
        ];
        self.text(&parts, 12)
    }

    fn mailbox(&mut self, number: usize) -> NamedAddress {
        NamedAddress {
            name: (self.next(3) > 0).then(|| self.name()),
            address: self.address(number),
        }
    }
}

#[test]
fn whoever_is_named_is_in_the_envelope_and_is_read_back() {
    for seed in 0..300 {
        let mut draw = Draw(seed);
        let count = 1 + draw.next(9);
        let list: Vec<NamedAddress> = (0..count).map(|number| draw.mailbox(number)).collect();
        let (to, rest) = list.split_at(draw.next(count));
        let (cc, bcc) = rest.split_at(draw.next(rest.len() + 1));
        let draft = Draft {
            to: to.to_vec(),
            cc: cc.to_vec(),
            bcc: bcc.to_vec(),
            ..draft()
        };

        let built = build(&draft, &context()).unwrap_or_else(|error| panic!("{list:?}: {error}"));

        let all: Vec<String> = list
            .iter()
            .map(|one| one.check("").unwrap().address)
            .collect();
        assert_eq!(built.envelope.recipients(), all);
        let raw = String::from_utf8(built.raw.to_vec()).unwrap();
        assert_eq!(field(&raw, "To"), all[..to.len()], "{raw}");
        assert_eq!(
            field(&raw, "Cc"),
            all[to.len()..to.len() + cc.len()],
            "{raw}"
        );
    }
}

/// Reads a field as the next mesh would that is asked to answer all.
fn field(raw: &str, name: &str) -> Vec<String> {
    let unfolded = raw.replace("\r\n ", " ");
    let prefix = format!("{name}: ");
    let value = unfolded.lines().find_map(|line| line.strip_prefix(&prefix));
    let list = value.map(|value| {
        NamedAddress::parse_list(value).unwrap_or_else(|error| panic!("{value}: {error}"))
    });
    list.unwrap_or_default()
        .into_iter()
        .map(|mailbox| mailbox.address)
        .collect()
}

#[test]
fn text_of_a_list_becomes_the_same_recipients_as_its_elements() {
    for seed in 0..300 {
        let mut draw = Draw(seed);
        let count = 1 + draw.next(9);
        let list: Vec<NamedAddress> = (0..count).map(|number| draw.mailbox(number)).collect();
        let list: Vec<NamedAddress> = list.iter().map(|one| one.check("").unwrap()).collect();
        let mut text = String::new();
        for one in &list {
            let name = one
                .name
                .as_deref()
                .unwrap_or_default()
                .replace('\\', "\\\\");
            let name = name.replace('"', "\\\"");
            let separator = draw.of(&[",", ";", " , ", ";,\t"]);
            write!(text, "\"{name}\" <{}>{separator}", one.address).unwrap();
        }

        let read =
            NamedAddress::parse_list(&text).unwrap_or_else(|error| panic!("{text}: {error}"));

        let addresses = |list: &[NamedAddress]| {
            list.iter()
                .map(|one| one.address.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(addresses(&read), addresses(&list), "{text}");
    }
}

/// `mail.received` hands such names out, and its receivers answer.
#[test]
fn names_as_damaged_mail_has_them_are_sent_folded() {
    for name in [
        "\u{96} Müller\u{9f}",
        &"ö".repeat(4_000),
        &"x".repeat(8_000),
    ] {
        let named = NamedAddress {
            name: Some(name.into()),
            address: "a@b.c".into(),
        };
        let draft = Draft {
            to: vec![named],
            ..draft()
        };

        let raw = built(&draft);

        let parsed = MessageParser::new().parse(raw.as_bytes()).unwrap();
        let to = parsed.to().and_then(|to| to.first()).unwrap();
        assert_eq!(to.name(), Some(name));
        assert_eq!(to.address(), Some("a@b.c"));
    }
    let text = NamedAddress::parse_list("\u{96} M <a@b.c>; d@e.f").unwrap();
    assert_eq!(text.len(), 2);
    let long = NamedAddress {
        name: Some("x".repeat(8_193)),
        address: "a@b.c".into(),
    };
    assert_eq!(long.check("to[0]").unwrap_err().path, "to[0].name");
}

#[test]
fn a_tab_in_a_name_becomes_a_space() {
    let one = NamedAddress {
        name: Some("J\tDoe".into()),
        address: "a@b.c".into(),
    };
    assert_eq!(one.check("to[0]").unwrap().name.as_deref(), Some("J Doe"));
}
