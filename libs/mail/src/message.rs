//! Builds outgoing mail from a draft, and reads received mail as far as it can be read.
//!
//! Promises that a built mail has only CRLF line ends, no line over 998 octets, and nothing a caller wrote that a
//! server could take for another header; bad input is refused with the path of the field. Reading never fails and
//! never takes more than linear time.
//!
//! Received mail is read here and not by mail-parser, which was tried: of 220 mails as senders build them it misread 77
//! even where its input was prepared and its output mended, since it decodes before it joins, forgets what a fold stands
//! in, and looks for the end of each encoded word in all of the field. In tests it still reads what is built.

mod address;
mod address_list;
mod body;
mod build;
mod charset;
mod clean;
mod date;
mod draft;
mod encoded_word;
mod field;
mod flowed;
mod head;
mod html;
mod mailbox_list;
mod message_id;
mod mime;
mod parameter;
mod parse;
mod parsed;
mod part;
mod quoted;
mod received;
mod scanner;
mod transfer;

pub use address::{AddressProblem, Envelope, NamedAddress};
pub use build::build;
pub use draft::{
    BuildContext, BuildError, BuildLimits, Built, Draft, DraftAttachment, DraftCalendar,
    FieldProblem,
};
pub use parse::{attachment, parse, parse_beginning};
pub use parsed::{AttachmentContent, InlineText, ParseProblem, ParsedAttachment, ParsedMail};
pub(crate) use received::received_at;
