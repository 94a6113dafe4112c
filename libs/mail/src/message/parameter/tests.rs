use super::*;

#[test]
fn parameters_are_read_as_writers_put_them() {
    for (value, expected) in [
        ("text/plain; charset=utf-8", "utf-8"),
        ("text/plain;charset = \"utf-8\" ; x=y", "utf-8"),
        ("text/plain; CHARSET= utf-8", "utf-8"),
        ("text/plain (plain) ; (c) charset=(c)utf-8 (x)", "utf-8"),
        ("text/plain charset=utf-8", "utf-8"),
        ("text/plain; ;charset=utf-8;", "utf-8"),
        ("text/plain; format=flowed charset=utf-8", "utf-8"),
        ("text/plain; format=\"flowed\"charset=utf-8", "utf-8"),
        ("text/plain, charset=utf-8", "utf-8"),
        ("text / plain; charset=utf-8", "utf-8"),
        ("text/plain; format; charset=utf-8", "utf-8"),
        ("text/plain; charset=\"utf-8", "utf-8"),
        ("text/plain; charset=utf-8\"", "utf-8"),
        ("text/plain; charset=utf-8, x=y", "utf-8"),
        ("\"text/plain\"; charset=utf-8", "utf-8"),
        ("text/plain; (charset=utf-8", "utf-8"),
        ("text/plain; charset=utf-8; charset=koi8-r", "utf-8"),
        ("text/plain; charset*=us-ascii'en'utf-8", "utf-8"),
        ("text/plain; charset*1=\"-8\"; charset*0=utf", "utf-8"),
    ] {
        let parameters = Parameters::read(value.as_bytes());
        let media_type = String::from_utf8_lossy(&parameters.value).into_owned();
        assert_eq!(media_type, "text/plain", "{value}");
        assert_eq!(
            parameters.text("charset", None).as_deref(),
            Some(expected),
            "{value}"
        );
    }
    let only = Parameters::read(b"filename=a b.pdf");
    assert_eq!(
        (
            only.value.as_slice(),
            only.text("filename", None).unwrap().as_str()
        ),
        (&b""[..], "a b.pdf")
    );
    let bare = Parameters::read(b"; charset=utf-8");
    assert_eq!(
        (
            bare.value.as_slice(),
            bare.text("charset", None).unwrap().as_str()
        ),
        (&b""[..], "utf-8")
    );
}

#[test]
fn names_of_files_are_read_in_all_their_forms() {
    for (value, expected) in [
        ("filename=\"C:\\docs\\a.pdf\"", "C:\\docs\\a.pdf"),
        ("filename=\"a \\\"b\\\".pdf\"", "a \"b\".pdf"),
        (
            "filename=Report (1) of May.pdf; size=3",
            "Report (1) of May.pdf",
        ),
        (
            "filename=\"=?utf-8?q?K=C3?= =?utf-8?q?=B6ln.pdf?=\"",
            "Köln.pdf",
        ),
        ("filename==?utf-8?q?K=C3=B6ln.pdf?=", "Köln.pdf"),
        ("filename*=utf-8''K%C3%B6ln.pdf", "Köln.pdf"),
        ("filename*=\"utf-8''K%C3%B6ln.pdf\"", "Köln.pdf"),
        ("filename*=iso-8859-1'de'K%F6ln.pdf", "Köln.pdf"),
        ("filename*=K%C3%B6ln.pdf", "Köln.pdf"),
        ("filename*=''K%C3%B6ln.pdf", "Köln.pdf"),
        ("filename*=utf-8''100%.pdf", "100%.pdf"),
        (
            "filename=\"Koln.pdf\"; filename*=utf-8''K%C3%B6ln.pdf",
            "Köln.pdf",
        ),
        (
            "filename*=utf-8''K%C3%B6ln.pdf; filename=Koln.pdf",
            "Köln.pdf",
        ),
        (
            "filename=Koln.pdf; filename*0*=utf-8''K%C3; filename*1*=%B6ln; filename*2=.pdf",
            "Köln.pdf",
        ),
        (
            "filename*1*=%B6ln; filename*2=.pdf; filename*0*=utf-8''K%C3",
            "Köln.pdf",
        ),
        (
            "filename*0=\"=?utf-8?q?K=C3=B6\"; filename*1=\"ln.pdf?=\"",
            "Köln.pdf",
        ),
        (
            "filename*0*=iso-2022-jp''%1B%24B%25F; filename*1*=%259%1B%28B.png",
            "テス.png",
        ),
        ("filename*00=a; filename*01=.pdf", "a.pdf"),
        ("filename=\"UTF-8''K%C3%B6ln.pdf\"", "Köln.pdf"),
        ("filename=\"it's 100%'s.pdf\"", "it's 100%'s.pdf"),
        ("filename=\"Köln.pdf\"", "Köln.pdf"),
        ("filename=a.pdf; filename=b.pdf", "a.pdf"),
    ] {
        let parameters = Parameters::read(format!("attachment; {value}").as_bytes());
        assert_eq!(parameters.value, b"attachment", "{value}");
        assert_eq!(
            parameters.text("filename", None).as_deref(),
            Some(expected),
            "{value}"
        );
    }
    assert_eq!(
        Parameters::read(b"attachment; filename=\" \"").text("filename", None),
        None
    );
}

#[test]
fn a_name_that_nobody_encoded_is_read_in_the_texts_set() {
    let parameters = Parameters::read(b"attachment; filename=\"\xc4\xe3\xba\xc3.pdf\"");
    let utf8 = Parameters::read("attachment; filename=\"Größe.pdf\"".as_bytes());
    let both = Parameters::read(b"attachment; filename=a.pdf; filename*=UTF-8''");

    assert_eq!(
        parameters.text("filename", Some("gb2312")).as_deref(),
        Some("你好.pdf")
    );
    assert_eq!(
        utf8.text("filename", Some("gb2312")).as_deref(),
        Some("Größe.pdf")
    );
    assert_eq!(both.text("filename", None).as_deref(), Some("a.pdf"));
}

#[test]
fn so_many_parameters_are_read() {
    let value = format!("a/b{}", "; n*1*=x".repeat(10_000));
    assert_eq!(
        Parameters::read(value.as_bytes()).pieces.len(),
        MAX_PARAMETERS
    );
}
