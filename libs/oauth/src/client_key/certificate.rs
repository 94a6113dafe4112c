use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mailmesh_secrets::sha256;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use time::{Date, Month, OffsetDateTime, Time};

const LABEL: &str = "-----BEGIN CERTIFICATE-----";
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The first certificate of a PEM text, as far as a client needs it.
pub(super) struct Certificate {
    /// From its label on.
    pub(super) pem: String,
    pub(super) ends_at: OffsetDateTime,
    der: CertificateDer<'static>,
}

impl Certificate {
    pub(super) fn read(text: &str) -> Option<Self> {
        let pem = text.get(text.find(LABEL)?..)?;
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
        let ends_at = find_end(&der)?;
        Some(Self {
            pem: pem.to_owned(),
            ends_at,
            der,
        })
    }

    /// RFC 7515 §4.1.8.
    pub(super) fn thumbprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(sha256(&self.der))
    }
}

/// Returns `notAfter` (RFC 5280 §4.1). It is the one field that is needed, which no crate at hand shows.
fn find_end(der: &[u8]) -> Option<OffsetDateTime> {
    let (certificate, _) = content_of(der)?;
    let (signed, _) = content_of(certificate)?;
    let mut rest = signed;
    if rest.first() == Some(&VERSION) {
        rest = content_of(rest)?.1;
    }
    // Serial number, signature algorithm, issuer.
    for _ in 0..3 {
        rest = content_of(rest)?.1;
    }
    let (validity, _) = content_of(rest)?;
    let (_, end) = content_of(validity)?;
    let kind = *end.first()?;
    let (text, _) = content_of(end)?;
    read_time(kind, std::str::from_utf8(text).ok()?)
}

/// Returns the content of the first DER element and what follows it.
fn content_of(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = der.get(1..)?.split_first()?;
    if length < 0x80 {
        return rest.split_at_checked(usize::from(length));
    }
    let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
    if digits.is_empty() || digits.len() > 3 {
        return None;
    }
    let length = digits
        .iter()
        .fold(0_usize, |length, digit| length << 8 | usize::from(*digit));
    rest.split_at_checked(length)
}

/// RFC 5280 §4.1.2.5: years up to 2049 have two digits.
fn read_time(kind: u8, text: &str) -> Option<OffsetDateTime> {
    let text = text.strip_suffix('Z')?;
    let (year, rest) = match kind {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: i32 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let number = |at: usize| rest.get(at..at + 2)?.parse::<u8>().ok();
    let month = Month::try_from(number(0)?).ok()?;
    let date = Date::from_calendar_date(year, month, number(2)?).ok()?;
    let time = Time::from_hms(number(4)?, number(6)?, number(8)?).ok()?;
    (rest.len() == 10).then(|| date.with_time(time).assume_utc())
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn moments_of_both_forms_are_read() {
        for (kind, text, moment) in [
            (
                UTC_TIME,
                "261130203000Z",
                Some(datetime!(2026-11-30 20:30 UTC)),
            ),
            (
                UTC_TIME,
                "991231235959Z",
                Some(datetime!(1999-12-31 23:59:59 UTC)),
            ),
            (
                GENERALIZED_TIME,
                "20500101000000Z",
                Some(datetime!(2050-01-01 0:00 UTC)),
            ),
            (UTC_TIME, "2611302030Z", None),
            (UTC_TIME, "261330203000Z", None),
            (UTC_TIME, "261130203000", None),
            (0x16, "261130203000Z", None),
        ] {
            assert_eq!(read_time(kind, text), moment, "{text}");
        }
    }

    #[test]
    fn damaged_certificates_are_none() {
        for der in [
            &[][..],
            &[0x30],
            &[0x30, 0x84, 1, 1, 1, 1],
            &[0x30, 0x05, 0x30],
        ] {
            assert_eq!(find_end(der), None);
        }
    }
}
