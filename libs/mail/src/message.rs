//! Builds outgoing mail from a draft, and reads received mail as far as it can be read.
//!
//! Promises that a built mail has only CRLF line ends, no line over 998 octets, and nothing a caller wrote that a
//! server could take for another header; bad input is refused with the path of the field. Reading never fails and
//! never takes more than linear time: the MIME tree is walked here, with bounds, because the parser we use for header
//! fields nests messages without a limit and would overflow the stack when they are dropped. Encoded words are decoded
//! here and masked for that parser, which would look for the end of each in all of the field.

mod address;
mod address_list;
mod build;
mod charset;
mod clean;
mod cursor;
mod draft;
mod encoded_word;
mod field;
mod head;
mod mime;
mod parse;
mod parsed;
mod quoted;
mod received;
mod transfer;

pub use address::{AddressProblem, Envelope, Mailbox};
pub use build::build;
pub use draft::{
    BuildContext, BuildError, BuildLimits, Built, Draft, DraftAttachment, DraftCalendar,
    FieldProblem,
};
pub use parse::{attachment, parse};
pub use parsed::{Attachment, AttachmentContent, InlineText, ParseProblem, Parsed};
pub(crate) use received::received_at;
