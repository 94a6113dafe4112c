use mailmesh_events::DecodeError;
use mailmesh_mail::message::BuildError;

/// Why a command is refused, and the path of the field at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) field: String,
    pub(crate) reason: String,
}

/// Path and reason repeat what the caller wrote, and with them `mail.rejected` has to fit a message of NATS.
const MAX_FIELD: usize = 300;
const MAX_REASON: usize = 1_000;

impl Refusal {
    pub(crate) fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            field: shortened(field.into(), MAX_FIELD),
            reason: shortened(reason.into(), MAX_REASON),
        }
    }
}

fn shortened(mut text: String, octets: usize) -> String {
    if text.len() > octets {
        text.truncate(text.floor_char_boundary(octets));
        text.push('…');
    }
    text
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_caller_wrote_is_repeated_up_to_a_bound() {
        let refusal = Refusal::new("ä".repeat(200), "é".repeat(2_000));

        assert_eq!(refusal.field, "ä".repeat(150) + "…");
        assert_eq!(refusal.reason, "é".repeat(500) + "…");
        assert_eq!(Refusal::new("to[1]", "is missing").reason, "is missing");
    }
}
