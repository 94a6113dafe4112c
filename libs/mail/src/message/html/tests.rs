use std::time::{Duration, Instant};

use super::*;

#[test]
fn html_names_its_character_set() {
    for (html, expected) in [
        (
            "<html><head><meta charset=\"iso-8859-2\"></head>",
            Some("iso-8859-2"),
        ),
        ("<META CHARSET=windows-1251>", Some("windows-1251")),
        ("<meta name=x><meta charset = 'koi8-r' />", Some("koi8-r")),
        (
            "<meta http-equiv=\"Content-Type\" content=\"text/html; charset=gb2312\">",
            Some("gb2312"),
        ),
        (
            "<?xml version=\"1.0\" encoding=\"iso-8859-15\"?><html>",
            Some("iso-8859-15"),
        ),
        ("<meta charset=>", None),
        ("<p>charset=koi8-r", None),
        ("<meta name=charset>x=koi8-r", None),
    ] {
        assert_eq!(
            charset_label(html.as_bytes()).as_deref(),
            expected,
            "{html}"
        );
    }
}

#[test]
fn text_of_html_is_what_a_person_reads() {
    for (html, expected) in [
        (
            "<p>Bestellung <b>4711</b> f&uuml;r M&#252;ller</p>",
            Some("Bestellung 4711 für Müller"),
        ),
        (
            "<style>p{}</style><script>x()</script><title>t</title>a<br>b",
            Some("a\nb"),
        ),
        ("<p>a</p><p>b</p>", Some("a\n\nb")),
        ("<table><tr><td>a</td><td>b</td></tr></table>", Some("a\nb")),
        ("<ul><li>a<li>b</ul>", Some("a\nb")),
        ("see <a href=\"https://x.y/\">this</a>", Some("see this")),
        ("<img src=x>", None),
        ("", None),
        ("<p> &nbsp; </p>", None),
        ("<p>unclosed <b", Some("unclosed")),
    ] {
        let text = to_text(html);
        assert_eq!(text.as_deref().map(str::trim), expected, "{html}");
    }
}

#[test]
fn hostile_html_takes_bounded_time_and_room() {
    let deep = |tag: &str| format!("{}x", tag.repeat(64 * 1024 / tag.len()));
    let nested = |tag: &str, depth: usize| {
        let name = tag.trim_matches(['<', '>']);
        let one = format!(
            "{}x{}",
            tag.repeat(depth),
            format!("</{name}>").repeat(depth)
        );
        one.repeat(64 * 1024 / one.len())
    };
    let mut inputs: Vec<String> = [
        "<div>",
        "<table><tr><td>",
        "<ul><li>",
        "<b>",
        "<a><p>",
        "<dl><dt>",
        "<pre>",
    ]
    .map(deep)
    .into();
    for tag in ["<div>", "<blockquote>", "<ul>", "<b>", "<pre>", "<sup>"] {
        inputs.push(nested(tag, 240));
    }
    inputs.push(format!(
        "{}{}",
        "<span>".repeat(5_000),
        "<p>".repeat(11_000)
    ));
    inputs.push(format!("{}{}", "<ul>".repeat(120), "<li>x".repeat(13_000)));
    inputs.push(format!("<table>{}", "<td colspan=99999>x".repeat(3_400)));
    inputs.push("<div></x>".repeat(7_000));
    let started = Instant::now();

    for html in inputs {
        let text = to_text(&html).unwrap_or_default();
        assert!(text.len() < 8 << 20, "{}", text.len());
    }

    // A debug build needs some seconds for this megabyte.
    assert!(started.elapsed() < Duration::from_secs(40));
}
