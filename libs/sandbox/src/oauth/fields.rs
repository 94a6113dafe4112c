/// The parameters of a query or a form, in their order.
pub(super) struct FormFields(Vec<(String, String)>);

impl FormFields {
    pub(super) fn parse(encoded: &[u8]) -> Self {
        Self(
            url::form_urlencoded::parse(encoded)
                .into_owned()
                .collect::<Vec<_>>(),
        )
    }

    /// Returns the first value of that name; an empty one counts as absent (RFC 6749 §3.1).
    pub(super) fn get(&self, name: &'static str) -> Option<&str> {
        self.get_all(name).find(|value| !value.is_empty())
    }

    pub(super) fn get_all(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn words(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.get(name).unwrap_or_default().split_ascii_whitespace()
    }
}
