const OUTLOOK: &str = "https://outlook.office.com/";

/// Returns the scopes of `required` that were not granted. Scopes that only steer the protocol
/// (`openid`, `offline_access` and the like) are not counted: providers leave them out at will, and
/// their effect is seen in the answer.
pub fn missing_scopes(required: &[String], granted: &[String]) -> Vec<String> {
    let granted: Vec<String> = granted.iter().map(|scope| canonical(scope)).collect();
    required
        .iter()
        .filter(|scope| !is_protocol_scope(scope))
        .filter(|scope| !granted.contains(&canonical(scope)))
        .cloned()
        .collect()
}

fn is_protocol_scope(scope: &str) -> bool {
    matches!(
        scope,
        "openid" | "email" | "profile" | "address" | "phone" | "offline_access"
    )
}

// Microsoft's resource has two names and compares without case; elsewhere scopes are compared
// as they are (RFC 6749 §3.3).
fn canonical(scope: &str) -> String {
    let lower = scope.to_ascii_lowercase();
    let name = lower
        .strip_prefix(OUTLOOK)
        .or_else(|| lower.strip_prefix("https://outlook.office365.com/"));
    match name {
        Some(name) => format!("{OUTLOOK}{name}"),
        None => scope.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_opens_mail_can_be_missing() {
        let missing = |required: &[&str], granted: &[&str]| {
            let owned = |scopes: &[&str]| -> Vec<String> {
                scopes.iter().map(|scope| (*scope).to_owned()).collect()
            };
            missing_scopes(&owned(required), &owned(granted)).join(" ")
        };

        let gmail = "https://mail.google.com/";
        assert_eq!(missing(&[gmail, "openid", "email"], &["openid"]), gmail);
        assert_eq!(missing(&[gmail, "email"], &["openid", gmail]), "");

        let imap = "https://outlook.office.com/IMAP.AccessAsUser.All";
        let same = "https://outlook.office365.com/imap.accessasuser.all";
        assert_eq!(missing(&[imap, "offline_access"], &[same]), "");
        assert_eq!(
            missing(&[imap], &["https://outlook.office.com/SMTP.Send"]),
            imap
        );

        assert_eq!(missing(&["mail-w"], &["Mail-W"]), "mail-w");
        assert_eq!(missing(&[], &[]), "");
    }
}
