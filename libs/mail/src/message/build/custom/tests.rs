use super::super::super::draft::BuildLimits;
use super::*;

fn add(name: &str, value: &str) -> Result<String, FieldProblem> {
    let draft = Draft {
        headers: [(name.to_owned(), value.to_owned())].into(),
        ..Draft::default()
    };
    let context = BuildContext {
        message_id: String::new(),
        date: time::OffsetDateTime::UNIX_EPOCH,
        default_from: None,
        limits: BuildLimits::default(),
    };
    let mut headers = Headers::new();
    add_custom(&mut headers, &draft, &context).map_err(|error| error.problem)?;
    let text = headers.to_string();
    assert!(text.lines().all(|line| line.len() <= 998), "{text}");
    assert!(text.lines().all(|line| !line.trim().is_empty()), "{text}");
    Ok(text)
}

/// The value as a reader unfolds it.
fn value(name: &str, value: &str) -> Result<String, FieldProblem> {
    let text = add(name, value)?.replace("\r\n ", " ");
    Ok(text
        .trim_end()
        .split_once(": ")
        .unwrap()
        .1
        .trim_start()
        .to_owned())
}

#[test]
fn structured_value_is_sent_as_it_is_up_to_a_line() {
    let url = format!("<https://example.org/u?t={}>", "a".repeat(900));
    for (name, given) in [
        ("List-Unsubscribe", url.as_str()),
        (
            "list-unsubscribe",
            &format!("{url}, <mailto:u@example.org?subject=x>"),
        ),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
        ("List-Id", "Offers <offers.example.org>"),
        ("Auto-Submitted", "auto-generated; owner-token=\"=?x?=\""),
        ("Supersedes", &format!("<{}@example.org>", "x".repeat(980))),
        ("Thread-Index", &"Ac".repeat(450)),
        (
            "X-SMTPAPI",
            &format!("{{\"category\":\"{}\"}}", "c".repeat(950)),
        ),
        ("X-Priority", "1 (Highest)"),
        (
            "Autocrypt",
            &format!("addr=a@b.c; keydata={}", "QUJD ".repeat(300)),
        ),
        ("Ticket", &"t".repeat(990)),
    ] {
        assert_eq!(value(name, given), Ok(given.trim().to_owned()), "{name}");
    }
    assert_eq!(
        add(
            "List-Unsubscribe",
            "<https://example.org/u>,\t<mailto:u@example.org>"
        )
        .unwrap(),
        "List-Unsubscribe: <https://example.org/u>, <mailto:u@example.org>\r\n"
    );
}

#[test]
fn structured_value_that_no_line_can_carry_is_refused() {
    let long = format!("<https://example.org/{}>", "a".repeat(1000));
    for name in [
        "List-Unsubscribe",
        "List-Id",
        "Archived-At",
        "X-SMTPAPI",
        "Ticket",
    ] {
        let refused = add(name, &long).unwrap_err();
        assert_eq!(refused, FieldProblem::Unfoldable { limit: 998 }, "{name}");
    }
    for (name, value) in [
        ("List-Unsubscribe", "<https://bücher.example>"),
        ("Auto-Submitted", "ja, natürlich"),
        ("List-Id", "Offers <bücher.example>"),
        ("Keywords", "\"ä, b\""),
        ("Supersedes", "<ä@b.c>"),
    ] {
        assert_eq!(add(name, value), Err(FieldProblem::NotAscii), "{name}");
    }
}

#[test]
fn phrases_are_encoded_one_by_one() {
    assert_eq!(
        value("Keywords", "Käse, Wurst,Öl"),
        Ok("=?utf-8?b?S8Okc2U=?=, Wurst, =?utf-8?b?w5Zs?=".to_owned())
    );
    assert_eq!(
        value("List-Id", "Angebote für Sie <offers.example.org>"),
        Ok("=?utf-8?b?QW5nZWJvdGUgZsO8ciBTaWU=?= <offers.example.org>".to_owned())
    );
}

#[test]
fn free_text_is_encoded_as_the_subject_is() {
    for name in ["X-Note", "Comments", "Organization", "Note"] {
        assert_eq!(
            value(name, "für Sie"),
            Ok("=?utf-8?b?ZsO8cg==?= Sie".to_owned())
        );
    }
    assert!(
        add("X-Note", &"x".repeat(2000))
            .unwrap()
            .contains("=?utf-8?")
    );
}

#[test]
fn headers_that_name_people_are_read_by_the_reader_of_addresses() {
    assert_eq!(
        value("Disposition-Notification-To", "Zoë <z@b.c>; taro.@d.e"),
        Ok("=?utf-8?b?Wm/Dqw==?= <z@b.c>, \"taro.\"@d.e".to_owned())
    );
    for name in [
        "Return-Receipt-To",
        "Mail-Followup-To",
        "disposition-notification-to",
    ] {
        assert!(matches!(
            add(name, "a@b.c, nobody"),
            Err(FieldProblem::Address(_))
        ));
    }
    let many = "a@b.c,".repeat(501);
    assert_eq!(
        add("Mail-Reply-To", &many),
        Err(FieldProblem::TooMany { limit: 500 })
    );
}

#[test]
fn what_servers_and_other_fields_write_is_refused() {
    for name in [
        "Received",
        "DKIM-Signature",
        "ARC-Seal",
        "Resent-To",
        "BCC",
        "Message-ID",
        "References",
        "MIME-Version",
        "Content-Type",
        "Return-Path",
        "DomainKey-Signature",
    ] {
        assert_eq!(add(name, "x"), Err(FieldProblem::ReservedHeader), "{name}");
    }
}

#[test]
fn names_and_all_headers_together_are_bounded() {
    let name = "X".repeat(101);
    assert_eq!(add(&name, "x"), Err(FieldProblem::TooLong { limit: 100 }));
    let draft = Draft {
        headers: (0..100)
            .map(|n| (format!("X-{n}"), "v ".repeat(400)))
            .collect(),
        ..Draft::default()
    };
    let context = BuildContext {
        message_id: String::new(),
        date: time::OffsetDateTime::UNIX_EPOCH,
        default_from: None,
        limits: BuildLimits::default(),
    };
    let refused = add_custom(&mut Headers::new(), &draft, &context).unwrap_err();
    assert_eq!(refused.path, "headers");
    assert_eq!(refused.problem, FieldProblem::TooLong { limit: 65_536 });
}
