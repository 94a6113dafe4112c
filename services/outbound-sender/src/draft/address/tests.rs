use super::*;

fn read(json: &str) -> Result<SendMail, Refusal> {
    let mut command: SendMail = serde_json::from_str(json).unwrap();
    read_addresses(&mut command, 5)?;
    Ok(command)
}

fn addresses(list: &Recipients) -> Vec<&str> {
    let each = list.0.iter().map(|one| match one {
        AddressInput::Mailbox(one) => one.address.as_str(),
        AddressInput::Text(text) => panic!("{text} was not read"),
    });
    each.collect()
}

#[test]
fn each_field_that_names_people_takes_a_list_in_one_text() {
    for field in ["to", "cc", "bcc", "reply_to"] {
        for list in [
            r#""Sales <a@b.c>, Support <d@e.f>""#,
            r#""a@b.c; d@e.f""#,
            r#"["a@b.c, d@e.f"]"#,
            r#"["a@b.c", {"name": "D", "address": "d@e.f"}]"#,
        ] {
            let command = read(&format!(r#"{{"{field}": {list}}}"#)).unwrap();
            let read = match field {
                "to" => &command.to,
                "cc" => &command.cc,
                "bcc" => &command.bcc,
                _ => &command.reply_to,
            };

            assert_eq!(addresses(read), ["a@b.c", "d@e.f"], "{field}: {list}");
        }
    }
}

#[test]
fn entry_that_is_not_read_whole_is_named_by_its_place_in_the_request() {
    for (json, path) in [
        (r#"{"to": "a@b.c, nobody"}"#, "to[0]"),
        (r#"{"to": ["a@b.c, d@e.f", "g@h.i j@k.l"]}"#, "to[1]"),
        (
            r#"{"to": ["a@b.c, d@e.f", {"address": "a@b.c, d@e.f"}]}"#,
            "to[1]",
        ),
        (r#"{"cc": ["a@b.c", ""]}"#, "cc[1]"),
        (
            r#"{"bcc": [{"name": "x\ny", "address": "a@b.c"}]}"#,
            "bcc[0].name",
        ),
        (r#"{"reply_to": "Doe, Jane <a@b.c>"}"#, "reply_to[0]"),
        (r#"{"from": "a@b.c, d@e.f"}"#, "from"),
        (r#"{"to": "a@b.c,a@b.c,a@b.c,a@b.c,a@b.c,a@b.c"}"#, "to"),
    ] {
        assert_eq!(read(json).unwrap_err().field, path, "{json}");
    }
}

#[test]
fn text_and_objects_that_name_the_same_people_are_the_same_request() {
    let text = read(r#"{"to": "\"Doe, J.\" <a@b.c>; d@e.f"}"#).unwrap();
    let objects = r#"{"to": [{"name": "Doe, J.", "address": "a@b.c"}, "d@e.f"]}"#;

    assert_eq!(text, read(objects).unwrap());
}
