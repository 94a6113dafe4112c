/// Refusals in a row after which the cause is not an outdated token.
const PERSISTENT: u32 = 3;

/// Access tokens that the mail server refused.
#[derive(Debug, Default)]
pub(crate) struct TokenRefusals {
    generation: Option<i64>,
    /// Generations in a row.
    count: u32,
}

impl TokenRefusals {
    pub(crate) fn note(&mut self, generation: i64) {
        if self.generation != Some(generation) {
            self.count = self.count.saturating_add(1);
        }
        self.generation = Some(generation);
    }

    /// Returns whether newer tokens are refused as well.
    pub(crate) const fn is_persistent(&self) -> bool {
        self.count >= PERSISTENT
    }

    /// Returns the generation that is not used again.
    pub(crate) const fn generation(&self) -> Option<i64> {
        self.generation
    }

    /// Lets the last refused generation be used once more.
    pub(crate) const fn allow_again(&mut self) {
        self.generation = None;
    }
}
