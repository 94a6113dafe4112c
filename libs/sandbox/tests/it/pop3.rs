//! The POP3 server, byte for byte.

mod change;
mod hostile;
mod quirk;
mod read;
mod sign_in;

use bytes::Bytes;

fn mail(number: usize) -> Bytes {
    Bytes::from(format!("Subject: {number}\r\n\r\nbody {number}\r\n"))
}

/// Returns the second word of each line.
fn second_words(lines: &[String]) -> Vec<&str> {
    lines
        .iter()
        .filter_map(|line| line.split_once(' ').map(|(_, second)| second))
        .collect()
}
