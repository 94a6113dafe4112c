use mailmesh_events::DecodeError;
use mailmesh_mail::message::BuildError;

/// Why a command is refused, and the path of the field at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) field: String,
    pub(crate) reason: String,
}

impl Refusal {
    pub(crate) fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            reason: reason.into(),
        }
    }
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        Self::new(error.field(), error.to_string())
    }
}

impl From<BuildError> for Refusal {
    fn from(error: BuildError) -> Self {
        Self::new(error.path, error.problem.to_string())
    }
}
