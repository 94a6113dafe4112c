use std::fmt::Display;

use anyhow::{bail, ensure};

/// Fails when a secret is found in a text; says which and where, and shows it to nobody. Secrets
/// come with their name, texts with their place.
pub fn check_no_secrets<P: Display, T: AsRef<[u8]>>(
    secrets: &[(String, String)],
    texts: impl IntoIterator<Item = (P, T)>,
) -> anyhow::Result<()> {
    for (name, secret) in secrets {
        ensure!(!secret.is_empty(), "{name} is empty, so it is everywhere");
    }
    for (place, text) in texts {
        for (name, secret) in secrets {
            if contains(text.as_ref(), secret.as_bytes()) {
                bail!("{place} holds the secret {name}");
            }
        }
    }
    Ok(())
}

fn contains(text: &[u8], secret: &[u8]) -> bool {
    text.windows(secret.len()).any(|window| window == secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(secret: &str, text: &str) -> Result<(), String> {
        let secrets = [("the password".to_owned(), secret.to_owned())];
        check_no_secrets(&secrets, [("a log", text)]).map_err(|error| error.to_string())
    }

    #[test]
    fn a_secret_is_named_with_its_place_and_not_shown() {
        assert_eq!(check("abc", "abd ab c"), Ok(()));
        assert_eq!(
            check("abc", "ababc"),
            Err("a log holds the secret the password".to_owned())
        );
    }

    #[test]
    fn an_empty_secret_proves_nothing() {
        assert!(check("", "text").is_err());
    }
}
