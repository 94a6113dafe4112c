use super::*;
use crate::sample::account;

fn command(json: &str) -> SendMail {
    serde_json::from_str(json).unwrap()
}

#[test]
fn author_is_the_first_address_of_the_account_unless_given() {
    let account = account();

    let default = make(command(r#"{"to":"a@b.c"}"#), &account).unwrap();
    let given = make(
        command(r#"{"to":"a@b.c","from":"Jo <Sales@example.com>"}"#),
        &account,
    )
    .unwrap();

    assert_eq!(default.from.unwrap().address, "support@example.com");
    assert_eq!(given.from.unwrap().name.as_deref(), Some("Jo"));
}

#[test]
fn author_of_an_international_domain_is_the_accounts_in_either_form() {
    let mut account = account();
    account.from_addresses = vec!["info@bücher.example".into()];

    for from in ["info@bücher.example", "info@xn--bcher-kva.example"] {
        let body = format!(r#"{{"to":"a@b.c","from":"{from}"}}"#);
        let draft = make(command(&body), &account).unwrap();

        assert_eq!(draft.from.unwrap().address, "info@xn--bcher-kva.example");
    }
}

#[test]
fn author_that_is_not_the_accounts_is_refused() {
    for from in ["x@example.com", "no address", ""] {
        let refused = make(
            command(&format!(r#"{{"to":"a@b.c","from":"{from}"}}"#)),
            &account(),
        );
        assert_eq!(refused.unwrap_err().field, "from", "{from}");
    }
}

#[test]
fn attachment_that_is_not_base64_is_named() {
    let refused = make(
        command(
            r#"{"to":"a@b.c","attachments":[
                {"filename":"a","content":"aGk=\r\n"},{"filename":"b","content":"*"}]}"#,
        ),
        &account(),
    );

    assert_eq!(
        refused.unwrap_err(),
        Refusal::new("attachments[1].content", "is not Base64")
    );
}
