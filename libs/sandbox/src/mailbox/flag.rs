use std::fmt;
use std::sync::Arc;

/// The flags that IMAP itself defines, with their bit.
const SYSTEM: [(&str, u8); 5] = [
    ("\\Seen", Flags::SEEN),
    ("\\Answered", Flags::ANSWERED),
    ("\\Flagged", Flags::FLAGGED),
    ("\\Deleted", Flags::DELETED),
    ("\\Draft", Flags::DRAFT),
];

/// The flags of one mail: five system flags and any keywords.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    system: u8,
    keywords: Vec<Arc<str>>,
}

impl Flags {
    pub(crate) const SEEN: u8 = 1;
    pub(crate) const ANSWERED: u8 = 2;
    pub(crate) const FLAGGED: u8 = 4;
    pub(crate) const DELETED: u8 = 8;
    pub(crate) const DRAFT: u8 = 16;

    /// Returns flags with `\Seen` alone.
    pub fn seen() -> Self {
        Self {
            system: Self::SEEN,
            keywords: Vec::new(),
        }
    }

    /// Returns whether `\Seen` is set.
    pub fn is_seen(&self) -> bool {
        self.has(Self::SEEN)
    }

    pub(crate) const fn has(&self, bit: u8) -> bool {
        self.system & bit != 0
    }

    pub(crate) const fn set(&mut self, bit: u8) {
        self.system |= bit;
    }

    pub(crate) fn has_keyword(&self, name: &str) -> bool {
        self.keywords
            .iter()
            .any(|keyword| keyword.eq_ignore_ascii_case(name))
    }

    /// Adds one flag by its IMAP name; `\Recent` and unknown system flags are ignored.
    pub(crate) fn add_name(&mut self, name: &str) {
        if let Some((_, bit)) = SYSTEM
            .iter()
            .find(|(system, _)| system.eq_ignore_ascii_case(name))
        {
            self.system |= bit;
        } else if !name.starts_with('\\') && !self.has_keyword(name) {
            self.keywords.push(name.into());
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.system |= other.system;
        for keyword in &other.keywords {
            if !self.has_keyword(keyword) {
                self.keywords.push(Arc::clone(keyword));
            }
        }
    }

    pub(crate) fn remove(&mut self, other: &Self) {
        self.system &= !other.system;
        self.keywords.retain(|keyword| !other.has_keyword(keyword));
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let system = SYSTEM
            .iter()
            .filter(|(_, bit)| self.has(*bit))
            .map(|(name, _)| *name);
        let mut separator = "";
        for name in system.chain(self.keywords.iter().map(AsRef::as_ref)) {
            write!(formatter, "{separator}{name}")?;
            separator = " ";
        }
        Ok(())
    }
}
