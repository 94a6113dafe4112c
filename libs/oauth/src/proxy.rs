use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use url::Url;

/// A forward proxy. Its URL may hold a password, so it is shown as its host only.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ForwardProxy(Url);

/// The text names no proxy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be an http or https URL, such as http://proxy.example.com:3128")]
pub struct NoProxy;

impl ForwardProxy {
    pub(crate) fn host(&self) -> Option<String> {
        self.0.host_str().map(str::to_owned)
    }

    pub(crate) fn url(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for ForwardProxy {
    type Err = NoProxy;

    fn from_str(text: &str) -> Result<Self, NoProxy> {
        let url = Url::parse(text.trim()).map_err(|_| NoProxy)?;
        let is_usable = matches!(url.scheme(), "http" | "https") && url.has_host();
        is_usable.then_some(Self(url)).ok_or(NoProxy)
    }
}

impl TryFrom<String> for ForwardProxy {
    type Error = NoProxy;

    fn try_from(text: String) -> Result<Self, NoProxy> {
        text.parse()
    }
}

impl fmt::Debug for ForwardProxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("ForwardProxy")
            .field(&self.0.host_str())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_proxies_that_can_be_used_are_taken() {
        for (text, is_usable) in [
            ("http://proxy.test:3128", true),
            ("https://user:password@proxy.test\n", true),
            ("proxy.test:3128", false),
            ("socks5://proxy.test", false),
            ("http://", false),
            ("", false),
        ] {
            assert_eq!(text.parse::<ForwardProxy>().is_ok(), is_usable, "{text}");
        }
        let proxy: ForwardProxy = "http://user:password@proxy.test".parse().unwrap();
        assert!(!format!("{proxy:?}").contains("password"));
    }
}
