use super::error::ConfigError;

/// Faults that are told of one configuration; nobody reads more.
pub(super) const MOST: usize = 20;

/// Everything that is wrong with a configuration, told together.
#[derive(Debug, Default)]
pub struct ConfigFaults(Vec<ConfigError>);

impl ConfigFaults {
    /// Keeps the fault, if there is one, and returns the value otherwise. A fault that is known is kept once: several
    /// parts are read of one file.
    pub fn note<T>(&mut self, result: Result<T, ConfigError>) -> Option<T> {
        match result {
            Ok(value) => return Some(value),
            Err(ConfigError::Several { faults }) => {
                for fault in faults {
                    self.add(fault);
                }
            }
            Err(fault) => self.add(fault),
        }
        None
    }

    /// Returns the value if nothing is wrong.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, ConfigError> {
        let Self(mut faults) = self;
        match (value, faults.len()) {
            (Some(value), 0) => Ok(value),
            (_, 1) => Err(faults.swap_remove(0)),
            _ => Err(ConfigError::Several { faults }),
        }
    }

    fn add(&mut self, fault: ConfigError) {
        let text = fault.told();
        if self.0.len() < MOST && self.0.iter().all(|known| known.told() != text) {
            self.0.push(fault);
        }
    }
}
