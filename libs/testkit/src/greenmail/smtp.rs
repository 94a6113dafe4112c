use anyhow::{bail, ensure};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Hands one mail to an SMTP server that asks for no sign-in.
pub(super) async fn deliver(
    address: (&str, u16),
    from: &str,
    to: &str,
    mail: &str,
) -> anyhow::Result<()> {
    let mut stream = BufReader::new(TcpStream::connect(address).await?);
    expect(&mut stream, "220").await?;
    let data = format!("{}\r\n.", stuffed(mail));
    let sender = format!("MAIL FROM:<{from}>");
    let recipient = format!("RCPT TO:<{to}>");
    for (command, code) in [
        ("EHLO test.invalid", "250"),
        (sender.as_str(), "250"),
        (recipient.as_str(), "250"),
        ("DATA", "354"),
        (data.as_str(), "250"),
        ("QUIT", "221"),
    ] {
        stream
            .write_all(format!("{command}\r\n").as_bytes())
            .await?;
        expect(&mut stream, code).await?;
    }
    Ok(())
}

/// Ends lines with CR LF and doubles a leading dot, without the last line's end.
fn stuffed(mail: &str) -> String {
    let lines = mail.lines().map(|line| {
        if line.starts_with('.') {
            format!(".{line}")
        } else {
            line.to_owned()
        }
    });
    lines.collect::<Vec<_>>().join("\r\n")
}

async fn expect(stream: &mut BufReader<TcpStream>, code: &str) -> anyhow::Result<()> {
    loop {
        let mut line = String::new();
        ensure!(
            stream.read_line(&mut line).await? > 0,
            "SMTP connection closed, {code} expected"
        );
        if !line.starts_with(code) {
            bail!("SMTP answered {:?}, {code} expected", line.trim_end());
        }
        if !line.starts_with(&format!("{code}-")) {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_doubled_and_lines_end_as_smtp_wants() {
        assert_eq!(stuffed("a\n.b\r\n\n..\n"), "a\r\n..b\r\n\r\n...");
    }
}
