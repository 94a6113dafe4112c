use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use time::{Duration, OffsetDateTime};

use super::refusal::RefreshRefusal;
use crate::settings::ApplicationSettings;

#[derive(Default)]
pub(super) struct Ledger {
    pub(super) last_grant: u64,
    pub(super) grants: HashMap<u64, IssuedGrant>,
    pub(super) access: HashMap<String, AccessToken>,
    pub(super) refresh: HashMap<String, IssuedRefreshToken>,
    offline_grants: HashMap<(String, Arc<str>), VecDeque<u64>>,
    prune_at: usize,
}

pub(super) struct IssuedGrant {
    pub(super) client_id: String,
    pub(super) address: Arc<str>,
    pub(super) scopes: Arc<[String]>,
    /// Absent for what a person consented to.
    pub(super) application: Option<Arc<ApplicationSettings>>,
    pub(super) revoked: bool,
}

impl IssuedGrant {
    pub(super) fn is_of(&self, name: &str) -> bool {
        match self.application {
            Some(_) => self.client_id == name,
            None => self.address.eq_ignore_ascii_case(name),
        }
    }
}

pub(super) struct AccessToken {
    pub(super) grant: u64,
    pub(super) scopes: Arc<[String]>,
    pub(super) expires_at: OffsetDateTime,
}

pub(super) struct IssuedRefreshToken {
    pub(super) grant: u64,
    pub(super) used: bool,
}

/// Expired access tokens are remembered this long, so that they are refused as expired.
const REMEMBERED: Duration = Duration::hours(1);
const PRUNE_FROM: usize = 16_384;
/// Google's limit of live refresh tokens per client and mailbox; one more revokes the oldest silently.
const GOOGLE_LIVE: usize = 100;

impl Ledger {
    pub(super) fn find_grant(&self, token: &str) -> Option<u64> {
        let access = self.access.get(token).map(|token| token.grant);
        access.or_else(|| self.refresh.get(token).map(|token| token.grant))
    }

    /// Makes room for one more refresh token as Google does; its access token dies with it, which is stricter.
    pub(super) fn cap_offline(&mut self, client_id: &str, address: &Arc<str>, grant: u64) {
        let key = (client_id.to_owned(), Arc::clone(address));
        let live = self.offline_grants.entry(key).or_default();
        live.push_back(grant);
        if live.len() > GOOGLE_LIVE
            && let Some(oldest) = live.pop_front()
            && let Some(oldest) = self.grants.get_mut(&oldest)
        {
            oldest.revoked = true;
        }
    }

    pub(super) fn prune(&mut self, now: OffsetDateTime) {
        if self.access.len() < self.prune_at.max(PRUNE_FROM) {
            return;
        }
        self.access
            .retain(|_, token| token.expires_at + REMEMBERED > now);
        self.prune_at = self.access.len() * 2;
    }
}

pub(super) fn narrow(
    consented: &Arc<[String]>,
    wanted: Option<&[String]>,
) -> Result<Arc<[String]>, RefreshRefusal> {
    let Some(wanted) = wanted.filter(|scopes| !scopes.is_empty()) else {
        return Ok(Arc::clone(consented));
    };
    if wanted.iter().any(|scope| !consented.contains(scope)) {
        return Err(RefreshRefusal::ScopeTooWide);
    }
    Ok(wanted.to_vec().into())
}

/// Keeps the scopes of the first resource alone: a Microsoft token serves one.
pub(super) fn first_resource(scopes: &Arc<[String]>) -> Arc<[String]> {
    let Some(first) = scopes.iter().find_map(|scope| find_resource(scope)) else {
        return Arc::clone(scopes);
    };
    scopes
        .iter()
        .filter(|scope| find_resource(scope).is_none_or(|resource| resource == first))
        .cloned()
        .collect()
}

/// Returns the resource of a scope; those of others than Microsoft belong to none.
fn find_resource(scope: &str) -> Option<&'static str> {
    match scope.strip_prefix("https://")?.split('/').next()? {
        // Exchange answers to both names.
        "outlook.office.com" | "outlook.office365.com" => Some("Exchange"),
        "graph.microsoft.com" => Some("Graph"),
        _ => None,
    }
}
