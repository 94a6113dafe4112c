use std::time::Duration;

/// Upper bound of a server's LOGIN-DELAY.
const LONGEST_LOGIN_DELAY: Duration = Duration::from_hours(1);
/// Maximum SASL mechanisms that are kept; no server has as many.
const MOST_MECHANISMS: usize = 50;

/// Announced capabilities (RFC 2449). Some servers refuse CAPA and some announce wrongly, so nothing here is required for a
/// session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    mechanisms: Vec<String>,
    has_uidl: bool,
    login_delay: Option<Duration>,
    is_gmail: bool,
}

impl Capabilities {
    /// Reads one line of the reply to CAPA.
    pub(super) fn add(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line).to_ascii_uppercase();
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("SASL") => {
                let room = MOST_MECHANISMS.saturating_sub(self.mechanisms.len());
                self.mechanisms.extend(words.map(str::to_owned).take(room));
            }
            Some("UIDL") => self.has_uidl = true,
            Some("X-GOOGLE-RICO") => self.is_gmail = true,
            Some("LOGIN-DELAY") => {
                self.login_delay = words
                    .next()
                    .and_then(|seconds| seconds.parse().ok())
                    .map(|seconds| Duration::from_secs(seconds).min(LONGEST_LOGIN_DELAY));
            }
            _ => {}
        }
    }

    pub(super) fn has_mechanism(&self, name: &str) -> bool {
        self.mechanisms.iter().any(|mechanism| mechanism == name)
    }

    /// Returns whether the server gives its mails unique ids, by its own account.
    pub const fn has_uidl(&self) -> bool {
        self.has_uidl
    }

    /// Returns whether the server hides mails once a session that retrieved them has ended with QUIT.
    pub const fn is_gmail(&self) -> bool {
        self.is_gmail
    }

    /// Returns how long a client is to wait between sign-ins; 300 seconds at Gmail.
    pub const fn login_delay(&self) -> Option<Duration> {
        self.login_delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_helps_is_read_from_what_servers_say() {
        let mut gmail = Capabilities::default();
        for line in [
            "USER",
            "RESP-CODES",
            "EXPIRE 0",
            "login-delay 300 USER",
            "UIDL",
            "X-GOOGLE-RICO",
            "SASL PLAIN XOAUTH2 oauthbearer",
            "",
            "LOGIN",
        ] {
            gmail.add(line.as_bytes());
        }

        assert!(gmail.has_uidl() && gmail.has_mechanism("OAUTHBEARER"));
        assert!(gmail.is_gmail() && !gmail.has_mechanism("LOGIN"));
        assert_eq!(gmail.login_delay(), Some(Duration::from_mins(5)));

        gmail.add(b"LOGIN-DELAY 99999999999");
        assert_eq!(gmail.login_delay(), Some(LONGEST_LOGIN_DELAY));
        gmail.add(b"LOGIN-DELAY soon");
        assert_eq!(gmail.login_delay(), None);
    }
}
