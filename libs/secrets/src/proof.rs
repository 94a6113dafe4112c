use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key, Tag};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Another version of what is proved, or of how, has another name.
const VERSION: &str = "v1";
const INFO: &[u8] = b"mailmesh event proof v1";

/// Proves that an event comes from a service, and checks such proofs: HMAC-SHA256 under keys that are derived from the opening
/// keys (HKDF-SHA256), so that they rotate together. The first key proves, each checks.
///
/// It proves who published, not when: an old event that is published once more has the proof that it had.
#[derive(Clone)]
pub struct EventProofKeys {
    keys: Vec<Key>,
}

impl EventProofKeys {
    /// Derives keys from secrets of 32 bytes, the one that proves first.
    pub(crate) fn derive<'a>(secrets: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let keys = secrets.map(|secret| {
            let extracted = Salt::new(HKDF_SHA256, &[]).extract(secret);
            let expanded = extracted.expand(&[INFO], HMAC_SHA256).ok()?;
            Some(Key::from(expanded))
        });
        let keys = keys.collect::<Option<Vec<Key>>>()?;
        (!keys.is_empty()).then_some(Self { keys })
    }

    /// Returns the proof of an event, fit for a header.
    pub fn prove(&self, subject: &str, id: &str, body: &[u8]) -> Option<String> {
        let tag = tag(self.keys.first()?, subject, id, body);
        let tag = URL_SAFE_NO_PAD.encode(tag.as_ref());
        Some(format!("{VERSION}.{tag}"))
    }

    /// Returns whether a proof is this event's, by any of the keys; in time that does not depend on the proof.
    pub fn verify(&self, subject: &str, id: &str, body: &[u8], proof: &str) -> bool {
        let tag = proof
            .strip_prefix(VERSION)
            .and_then(|rest| rest.strip_prefix('.'));
        let tag = tag.and_then(|tag| URL_SAFE_NO_PAD.decode(tag).ok());
        let Some(tag) = tag else { return false };
        self.keys.iter().any(|key| {
            let expected = self::tag(key, subject, id, body);
            verify_slices_are_equal(expected.as_ref(), &tag).is_ok()
        })
    }
}

impl fmt::Debug for EventProofKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "EventProofKeys({})", self.keys.len())
    }
}

/// Lengths stand before subject and id: no two events give the same octets.
fn tag(key: &Key, subject: &str, id: &str, body: &[u8]) -> Tag {
    let mut context = Context::with_key(key);
    for part in [subject, id] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    context.update(body);
    context.sign()
}

#[cfg(test)]
mod tests {
    use crate::OpeningKeys;

    const SUBJECT: &str = "mail.received.support";

    #[test]
    fn a_proof_is_one_events_alone() {
        let keys = OpeningKeys::generate().unwrap().event_proofs().unwrap();

        let proof = keys.prove(SUBJECT, "id", b"body").unwrap();

        assert!(keys.verify(SUBJECT, "id", b"body", &proof));
        for (subject, id, body) in [
            ("mail.received.other", "id", "body"),
            (SUBJECT, "other", "body"),
            (SUBJECT, "id", "other"),
            ("mail.received.supporti", "d", "body"),
            (SUBJECT, "idb", "ody"),
        ] {
            assert!(
                !keys.verify(subject, id, body.as_bytes(), &proof),
                "{subject} {id} {body}"
            );
        }
        for forged in ["", "v1.", "v1.AAAA", "v2", proof.trim_start_matches("v1.")] {
            assert!(!keys.verify(SUBJECT, "id", b"body", forged), "{forged}");
        }
    }

    #[test]
    fn every_key_checks_and_the_first_one_proves() {
        let old = OpeningKeys::generate().unwrap();
        let added = old.add().unwrap();
        let new = added.promote().unwrap();
        let [old, added, new] = [old, added, new].map(|keys| keys.event_proofs().unwrap());

        let by_old = old.prove(SUBJECT, "id", b"x").unwrap();
        let by_new = new.prove(SUBJECT, "id", b"x").unwrap();

        assert_eq!(added.prove(SUBJECT, "id", b"x").as_ref(), Some(&by_old));
        assert!(new.verify(SUBJECT, "id", b"x", &by_old));
        assert!(added.verify(SUBJECT, "id", b"x", &by_new));
        assert!(!old.verify(SUBJECT, "id", b"x", &by_new));
        let stranger = OpeningKeys::generate().unwrap().event_proofs().unwrap();
        assert!(!stranger.verify(SUBJECT, "id", b"x", &by_new));
    }
}
