use super::clean::{cut, cut_filename};
use super::encoded_word::header_text;
use super::field::{HeaderField, fields};
use super::parameter::Parameters;
use super::transfer::TransferEncoding;

/// Octets of one field that are read; fields before it may be as long as they are: some mail names thousands of recipients
/// before its type.
const MAX_FIELD: usize = 32 * 1024;
/// Ids and types of parts are cut to this.
const MAX_NAME: usize = 255;
/// Octets of a file's name: 255 characters, as file systems allow, in UTF-8.
const MAX_FILENAME: usize = 1020;

/// What a part says about itself.
#[derive(Debug, Default)]
pub(super) struct PartHead {
    pub(super) media_type: String,
    pub(super) charset: Option<String>,
    /// What separates the parts of a multipart; not empty.
    pub(super) boundary: Option<Vec<u8>>,
    pub(super) encoding: TransferEncoding,
    pub(super) filename: Option<String>,
    pub(super) content_id: Option<String>,
    /// Whether other parts can name it.
    pub(super) has_reference: bool,
    pub(super) disposition: Disposition,
    /// Whether soft line breaks cost their space (RFC 3676 §4.2).
    pub(super) is_delsp: bool,
}

/// How a part is to be shown (RFC 2183 §2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Disposition {
    #[default]
    Unsaid,
    Inline,
    /// Also any other word that is not known (§2.8).
    Attachment,
}

impl PartHead {
    /// Reads a part's fields; of two the first that says something counts. A file's name that nobody has encoded is read in
    /// the set of the mail's text.
    pub(super) fn read(head: &[u8], default_type: &str, text_set: Option<&str>) -> Self {
        let names = [
            "Content-Disposition",
            "Content-Type",
            "Content-Transfer-Encoding",
            "Content-ID",
            "Content-Location",
        ];
        let [disposition, content_type, encoding, id, location] = first_of(head, names);
        let mut part = Self::default();
        if let Some(value) = disposition {
            let parameters = Parameters::read(&value);
            part.disposition = match parameters.value.to_ascii_lowercase().as_slice() {
                b"" => Disposition::Unsaid,
                b"inline" => Disposition::Inline,
                _ => Disposition::Attachment,
            };
            part.set_filename(&parameters, text_set);
        }
        if let Some(value) = content_type {
            let parameters = Parameters::read(&value);
            part.set_content_type(&parameters);
            part.set_filename(&parameters, text_set);
        }
        if part.media_type.is_empty() {
            default_type.clone_into(&mut part.media_type);
        }
        if let Some(value) = encoding {
            part.encoding = TransferEncoding::named(&value);
        }
        part.content_id = id.and_then(|value| content_id(&value));
        part.has_reference = part.content_id.is_some() || location.is_some();
        part
    }

    fn set_content_type(&mut self, parameters: &Parameters) {
        self.media_type = media_type(&parameters.value).unwrap_or_default();
        self.charset = parameters.text("charset", None);
        self.boundary = parameters
            .octets("boundary")
            .map(|boundary| boundary.trim_ascii_end().to_vec())
            .filter(|boundary| !boundary.is_empty());
        let is = |name, value: &[u8]| {
            let found = parameters.octets(name);
            found.is_some_and(|found| found.eq_ignore_ascii_case(value))
        };
        self.is_delsp = is("format", b"flowed") && is("delsp", b"yes");
    }

    /// Takes the first name that is given; programs confuse the parameters of the two fields.
    fn set_filename(&mut self, parameters: &Parameters, text_set: Option<&str>) {
        if self.filename.is_some() {
            return;
        }
        let mut names = ["filename", "name"].into_iter();
        let set = self.charset.as_deref().or(text_set);
        self.filename = names.find_map(|name| parameters.text(name, set));
        if let Some(filename) = &mut self.filename {
            cut_filename(filename, MAX_FILENAME);
        }
    }
}

/// Returns of each field the first that says something, unfolded. The head is read once: it may be most of a mail.
fn first_of<const N: usize>(head: &[u8], names: [&str; N]) -> [Option<Vec<u8>>; N] {
    let mut found = [const { None }; N];
    for field in fields(head) {
        for (name, slot) in names.iter().zip(&mut found) {
            if slot.is_none() && field.is(name) && !field.value.trim_ascii().is_empty() {
                let value = field.value.get(..MAX_FIELD).unwrap_or(field.value);
                *slot = Some(HeaderField { value, ..field }.unfolded());
            }
        }
    }
    found
}

/// Returns a media type in lower case; `None` where there is none, as in `text`, of which only the kind is known.
fn media_type(value: &[u8]) -> Option<String> {
    // What a token cannot hold (RFC 2045 §5.1), such as a quote that was left behind, ends it.
    let is_in_type = |octet: &u8| {
        octet.is_ascii_graphic() && (*octet == b'/' || !b"()<>@,;:\\\"[]?=".contains(octet))
    };
    let value = value.trim_ascii_start();
    let end = value.iter().position(|octet| !is_in_type(octet));
    let value = value.get(..end.unwrap_or(value.len()))?;
    let value = String::from_utf8_lossy(value).to_ascii_lowercase();
    let (kind, subtype) = value.split_once('/')?;
    if kind.is_empty() || subtype.is_empty() {
        return None;
    }
    let mut media_type = value;
    cut(&mut media_type, MAX_NAME);
    Some(media_type)
}

fn content_id(value: &[u8]) -> Option<String> {
    let text = header_text(value);
    let inner = text.split_once('<').map_or(text.as_str(), |(_, rest)| rest);
    let inner = inner.split_once('>').map_or(inner, |(id, _)| id);
    let mut id = inner.trim().to_owned();
    cut(&mut id, MAX_NAME);
    Some(id).filter(|id| !id.is_empty())
}
