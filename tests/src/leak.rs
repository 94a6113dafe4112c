use anyhow::bail;

/// Fails when a secret is found in a text; says which and where, and shows it to nobody.
pub(crate) fn check_no_secrets(
    secrets: &[(String, String)],
    texts: impl IntoIterator<Item = (String, Vec<u8>)>,
) -> anyhow::Result<()> {
    for (place, text) in texts {
        for (name, secret) in secrets {
            if contains(&text, secret.as_bytes()) {
                bail!("{place} holds the secret {name}");
            }
        }
    }
    Ok(())
}

fn contains(text: &[u8], secret: &[u8]) -> bool {
    !secret.is_empty() && text.windows(secret.len()).any(|window| window == secret)
}
