use std::time::Duration;

use mailmesh_bus::{Bus, EventSubscription};
use mailmesh_domain::{GrantId, Key};
use mailmesh_events::Event;
use mailmesh_events::account::{AccountAuthenticated, AccountChanged};
use mailmesh_events::token::{TokenRefreshFailed, TokenRefreshed};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::warn;

use super::HostSettings;

/// Interval of looking for held accounts without a worker: a start that failed is tried again.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Hints come in bursts: one look answers all of this time.
const GATHER: Duration = Duration::from_millis(100);

/// Hints and timers that the host reacts to.
#[derive(Debug)]
pub(super) enum Input {
    AccountChanged(Key),
    AccountAuthenticated(Key),
    /// The grant has a newer token, or none can be had.
    GrantChanged(GrantId),
    LookDue,
    CheckDue,
    TokensDue,
}

/// Hints, each of which may be lost, and the timers that make up for that.
#[derive(Debug)]
pub(super) struct Inputs {
    changed: Option<EventSubscription<AccountChanged>>,
    authenticated: Option<EventSubscription<AccountAuthenticated>>,
    refreshed: Option<EventSubscription<TokenRefreshed>>,
    not_refreshed: Option<EventSubscription<TokenRefreshFailed>>,
    look: Interval,
    check: Interval,
    tokens: Interval,
    is_look_soon: bool,
}

impl Inputs {
    pub(super) async fn open(bus: &Bus, settings: &HostSettings) -> Self {
        Self {
            changed: subscribe(bus).await,
            authenticated: subscribe(bus).await,
            refreshed: subscribe(bus).await,
            not_refreshed: subscribe(bus).await,
            look: ticks(LOOK_EVERY),
            check: ticks(settings.check_every),
            tokens: ticks(settings.look_for_tokens_every),
            is_look_soon: false,
        }
    }

    pub(super) async fn next(&mut self) -> Input {
        tokio::select! {
            event = next_event(&mut self.changed) => Input::AccountChanged(event.account),
            // A sign-in gives the account its grant.
            event = next_event(&mut self.authenticated) => Input::AccountAuthenticated(event.account),
            event = next_event(&mut self.refreshed) => Input::GrantChanged(event.grant_id),
            event = next_event(&mut self.not_refreshed) => Input::GrantChanged(event.grant_id),
            _ = self.look.tick() => {
                self.is_look_soon = false;
                Input::LookDue
            }
            _ = self.check.tick() => Input::CheckDue,
            _ = self.tokens.tick() => Input::TokensDue,
        }
    }

    pub(super) fn look_soon(&mut self) {
        if !self.is_look_soon {
            self.is_look_soon = true;
            self.look.reset_after(GATHER);
        }
    }
}

fn ticks(every: Duration) -> Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn subscribe<E: Event>(bus: &Bus) -> Option<EventSubscription<E>> {
    match bus.subscribe_to::<E>().await {
        Ok(subscription) => Some(subscription),
        Err(error) => {
            warn!(
                event = E::NAME,
                error = &error as &dyn std::error::Error,
                "Hints cannot be heard; changes are found by looking"
            );
            None
        }
    }
}

/// Waits for an event; for ever where none can come.
async fn next_event<E: Event>(subscription: &mut Option<EventSubscription<E>>) -> E {
    if let Some(open) = subscription
        && let Some(event) = open.next().await
    {
        return event;
    }
    *subscription = None;
    std::future::pending().await
}
