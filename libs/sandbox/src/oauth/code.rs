use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use time::{Duration, OffsetDateTime};

use super::failure::TokenFailure;
use crate::token::random_text;

const LIFE: Duration = Duration::minutes(10);
const PRUNE_FROM: usize = 1_024;

/// What a code stands for until it is redeemed.
#[derive(Debug, Clone)]
pub(super) struct Approval {
    pub(super) client_id: String,
    pub(super) redirect_uri: String,
    pub(super) address: String,
    pub(super) scopes: Vec<String>,
    pub(super) nonce: Option<String>,
    pub(super) challenge: Option<String>,
    pub(super) offline: bool,
}

struct IssuedCode {
    approval: Approval,
    expires_at: OffsetDateTime,
    /// The grant that came of it; a second use revokes that (RFC 6749 §4.1.2).
    redeemed: Option<u64>,
}

/// The authorisation codes that were given out.
#[derive(Default)]
pub(crate) struct CodeBook {
    codes: Mutex<HashMap<String, IssuedCode>>,
}

/// Why a code yields nothing.
#[derive(Debug)]
pub(super) enum CodeRefusal {
    /// It was never given, expired, or does not fit the request.
    Failure(TokenFailure),
    /// It was used before, for this grant.
    Reused { grant: u64 },
}

impl CodeBook {
    /// Gives out a code.
    pub(super) fn issue(&self, approval: Approval, now: OffsetDateTime) -> String {
        let text = random_text::<32>();
        let code = IssuedCode {
            approval,
            expires_at: now + LIFE,
            redeemed: None,
        };
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        if codes.len() >= PRUNE_FROM {
            codes.retain(|_, code| code.expires_at > now);
        }
        codes.insert(text.clone(), code);
        text
    }

    /// Returns the mailbox behind a code, used or not.
    pub(super) fn find_address(&self, code: &str) -> Option<String> {
        let codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        codes.get(code).map(|code| code.approval.address.clone())
    }

    /// Redeems a code once: `check` may refuse it, `start` makes the grant and returns its number.
    pub(super) fn redeem<Tokens>(
        &self,
        code: &str,
        now: OffsetDateTime,
        check: impl FnOnce(&Approval) -> Result<(), TokenFailure>,
        start: impl FnOnce(&Approval) -> (u64, Tokens),
    ) -> Result<(Approval, Tokens), CodeRefusal> {
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        let code = codes
            .get_mut(code)
            .ok_or(CodeRefusal::Failure(TokenFailure::UnknownCode))?;
        if let Some(grant) = code.redeemed {
            return Err(CodeRefusal::Reused { grant });
        }
        if code.expires_at <= now {
            return Err(CodeRefusal::Failure(TokenFailure::ExpiredCode));
        }
        check(&code.approval).map_err(CodeRefusal::Failure)?;
        let (grant, tokens) = start(&code.approval);
        code.redeemed = Some(grant);
        Ok((code.approval.clone(), tokens))
    }
}

impl fmt::Debug for CodeBook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("CodeBook").finish_non_exhaustive()
    }
}
