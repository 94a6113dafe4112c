use super::*;

#[test]
fn damaged_character_costs_itself_alone() {
    for (octets, label, expected) in [
        (
            &b"Gr\xc3\xbc\xc3\x9fe \xff!"[..],
            Some("utf-8"),
            "Grüße \u{fffd}!",
        ),
        (b"Gr\xc3\xbc\xc3\x9fe K\xf6ln", None, "Grüße K\u{fffd}ln"),
        (
            b"Gr\xc3\xbc\xc3\x9fe K\xf6ln",
            Some("x-unheard-of"),
            "Grüße K\u{fffd}ln",
        ),
        (b"\xc3\xa4\xc3", None, "ä\u{fffd}"),
        // Declared, and none of it is.
        (b"Gr\xfc\xdfe", Some("UTF-8"), "Grüße"),
        (b"gr\xfcn", None, "grün"),
        (b"\xe4", None, "ä"),
        (b"\xc3", None, "Ã"),
        (b"\x93\xfa\xff\x96\x7b", Some("shift_jis"), "日\u{fffd}本"),
        (b"\xc4\xe3\xff\xba\xc3", Some("gb2312"), "你\u{fffd}好"),
        ("ä\0b".as_bytes(), Some("no-such-set"), "äb"),
    ] {
        assert_eq!(text(octets, label), expected, "{octets:?}");
    }
}

#[test]
fn octets_tell_more_than_a_wrong_label() {
    for (octets, label, expected) in [
        ("Dzień •".as_bytes(), Some("windows-1252"), "Dzień •"),
        ("Привет".as_bytes(), Some("koi8-r"), "Привет"),
        ("Grüße".as_bytes(), Some("us-ascii"), "Grüße"),
        ("Grüße".as_bytes(), Some("iso-2022-jp"), "Grüße"),
        ("Grüße".as_bytes(), Some("ibm437"), "Grüße"),
        ("Grüße".as_bytes(), Some("euc-jp"), "Grüße"),
        ("plain".as_bytes(), Some("utf-16"), "plain"),
        // Thai letters in pairs may be UTF-8 by chance.
        (b"\xe0\xb8\xa1", Some("tis-620"), "เธก"),
        (b"\xef\xbb\xbfHallo", Some("iso-8859-1"), "Hallo"),
        (b"\xff\xfeh\0i\0", Some("utf-8"), "hi"),
        (b"\xfe\xff\0h\0i", None, "hi"),
        (b"\xff\xfe\0\0h\0\0\0", None, "h"),
        (b"\0\0\xfe\xff\0\0\0h", None, "h"),
        (b"\x1b$BF|K\\\x1b(B", None, "日本"),
    ] {
        assert_eq!(text(octets, label), expected, "{octets:?}");
    }
}

#[test]
fn sets_that_browsers_do_not_know_are_read() {
    for (octets, label, expected) in [
        (&b"\x1b$)C\x0e>H3g\x0f!"[..], "iso-2022-kr", "안녕!"),
        (b"\x1b$)A\x0eVPND\x0f.", "ISO-2022-CN", "中文."),
        (b"a~~~{VPND~}~\nb", "hz-gb-2312", "a~中文b"),
        (b"~{VPND", "HZ", "中文"),
        (b"\x1b$B%F\x1b(B\x1b$B%9\x1b(B", "iso-2022-jp", "テス"),
        (b"\x1b(I1\x1b(B", "cp50221", "ｱ"),
        (b"Hi Mom +Jjo--! +-+AOQ", "utf-7", "Hi Mom ☺-! +ä"),
        (b"h\0i\0", "utf-16", "hi"),
        (b"\0h\0i", "utf-16", "hi"),
        (b"\0\0\0h\0\0\0i", "utf-32", "hi"),
        (b"h\0\0\0", "utf-32le", "h"),
        (b"Gr\x81\xe1e", "ibm437", "Grüße"),
        (b"Gr\x81\xe1e", "cp850", "Grüße"),
        (b"\x8f\xe0\xa8", "cp866", "При"),
        (b"\xa5", "ibm852", "ą"),
    ] {
        assert_eq!(text(octets, Some(label)), expected, "{label}");
    }
}

/// Octets, what they read as, and names of the set that they are in.
const NAMES: &[(&[u8], &str, &[&str])] = &[
    (
        b"\x93\xfa\x96\x7b\x87\x40",
        "日本①",
        &[
            "cp932",
            "MS932",
            "windows-31j",
            "x-sjis",
            "Shift-JIS",
            "csShiftJIS",
        ],
    ),
    (
        b"\xa3\xf3\xbc",
        "Łóź",
        &[
            "iso8859-2",
            "ISO_8859_2",
            "latin2",
            "latin-2",
            "8859-2",
            "cp28592",
            "csISOLatin2",
        ],
    ),
    (
        b"\xa4",
        "€",
        &[
            "iso-8859-15",
            "latin9",
            "Latin-9",
            "ISO8859_15",
            "iso-8859-15;",
            "'iso-8859-15'",
        ],
    ),
    (
        b"\xcf\xf0\xe8",
        "При",
        &[
            "windows-1251",
            "cp1251",
            "win-1251",
            "windows1251",
            "1251",
            "x-cp1251",
            "CP-1251",
        ],
    ),
    (
        b"\x80",
        "€",
        &[
            "windows-1252",
            "ansi-1252",
            "iso-8859-1",
            "latin1",
            "cp1252",
            "ISO-8859-1:1987",
        ],
    ),
    (
        b"\xb0\xa1",
        "가",
        &[
            "euc-kr",
            "ks_c_5601-1987",
            "ks_c_5601",
            "cp949",
            "ms949",
            "uhc",
            "ksc5601",
        ],
    ),
    (
        b"\xc4\xe3",
        "你",
        &[
            "gb2312",
            "gbk",
            "cp936",
            "euc-cn",
            "x-gbk",
            "gb_2312-80",
            "cn-gb",
            "GB18030",
        ],
    ),
    (
        b"\xa7\x41",
        "你",
        &["big5", "cp950", "big5-hkscs", "x-x-big5", "Big5_HKSCS"],
    ),
    (
        b"\xc6\xfc",
        "日",
        &["euc-jp", "x-euc-jp", "ujis", "eucjp", "cp51932"],
    ),
    (
        b"\xc3\xa4",
        "ä",
        &[
            "utf-8",
            "UTF8",
            "utf8mb4",
            "de_DE.UTF-8",
            "cp65001",
            "unicode-1-1-utf-8",
            "x-utf-8",
            "utf_8",
        ],
    ),
    (
        b"\x9f",
        "ü",
        &["macintosh", "x-mac-roman", "mac", "macroman", "cp10000"],
    ),
    (
        b"\xf0\xd2\xc9",
        "При",
        &["koi8-r", "KOI8R", "koi8_r", "cp20866"],
    ),
    (
        b"\xf9",
        "ש",
        &[
            "iso-8859-8",
            "iso-8859-8-i",
            "iso-8859-8-e",
            "ISO8859-8I",
            "logical",
            "cp38598",
        ],
    ),
    (
        b"\xa1",
        "ก",
        &["tis-620", "tis620", "iso-8859-11", "cp874", "windows-874"],
    ),
];

#[test]
fn one_set_has_many_names() {
    for (octets, expected, labels) in NAMES {
        for label in *labels {
            assert_eq!(text(octets, Some(label)), *expected, "{label}");
        }
    }
    for unknown in [
        "",
        "none",
        "x-unknown",
        "unknown-8bit",
        "default",
        "8859",
        "cp99999",
        "latin77",
    ] {
        assert!(Charset::named(unknown).is_none(), "{unknown}");
    }
}
