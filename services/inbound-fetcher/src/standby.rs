//! What an account does while it is not connected.

use std::time::Duration;

use mailmesh_accounts::{Backoff, spread};
use mailmesh_domain::GrantId;

use crate::account_context::AccountContext;
use crate::token_refusal::TokenRefusals;

/// Pause before a token is tried again whose fresh predecessors were refused, too.
const REFUSED_RETRY: Duration = Duration::from_mins(15);
/// Upper bound of the wait between two requests for a token.
const TOKEN_WAIT_LIMIT: Duration = Duration::from_mins(1);

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitEnd {
    /// The account is to be given up.
    Stopped,
    /// The account may be connected.
    Over,
}

/// Bounds of the wait between two sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pause {
    /// The server refuses sign-ins before this.
    pub(crate) least: Duration,
    /// The next session starts after this without a hint.
    pub(crate) most: Duration,
}

/// Waits between two sessions for the time, a wake-up or the stop.
pub(crate) async fn pause(owner: &AccountContext, pause: Pause) -> WaitEnd {
    if rest(owner, pause.least).await == WaitEnd::Stopped {
        return WaitEnd::Stopped;
    }
    tokio::select! {
        () = owner.stop.cancelled() => WaitEnd::Stopped,
        () = owner.signals.wake.notified() => WaitEnd::Over,
        () = tokio::time::sleep(pause.most.saturating_sub(pause.least)) => WaitEnd::Over,
    }
}

/// Waits for a time or the stop; a hint must not cut the wait short that a server asked for.
pub(crate) async fn rest(owner: &AccountContext, delay: Duration) -> WaitEnd {
    tokio::select! {
        () = owner.stop.cancelled() => WaitEnd::Stopped,
        () = tokio::time::sleep(delay) => WaitEnd::Over,
    }
}

/// Waits for a wake-up or the stop. The host looks for tokens that came without a hint.
pub(crate) async fn await_sign_in(owner: &AccountContext, generation: Option<i64>) -> WaitEnd {
    owner.signals.wait_for_newer(generation, true);
    let waited = tokio::select! {
        () = owner.stop.cancelled() => WaitEnd::Stopped,
        () = owner.signals.wake.notified() => WaitEnd::Over,
    };
    owner.signals.wait_for_newer(None, false);
    waited
}

/// Asks for a newer token until there is one. The host looks for all that wait, and wakes.
pub(crate) async fn await_token(
    owner: &AccountContext,
    grant_id: GrantId,
    generation: i64,
    refusals: &mut TokenRefusals,
) -> WaitEnd {
    owner.signals.wait_for_newer(Some(generation), false);
    let waited = if refusals.is_persistent() {
        sit_out(owner, refusals).await
    } else {
        ask_until_newer(owner, grant_id, generation).await
    };
    owner.signals.wait_for_newer(None, false);
    waited
}

async fn ask_until_newer(owner: &AccountContext, grant_id: GrantId, generation: i64) -> WaitEnd {
    let context = &owner.context;
    let base = Duration::from_secs(context.settings.token_wait_seconds);
    let backoff = Backoff::new(base, TOKEN_WAIT_LIMIT);
    let mut asked = 0;
    loop {
        context
            .credentials
            .ask_for_token(grant_id, generation)
            .await;
        asked += 1;
        let pause = backoff.after(asked);
        tokio::select! {
            () = owner.stop.cancelled() => return WaitEnd::Stopped,
            () = owner.signals.wake.notified() => return WaitEnd::Over,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Waits without publishing `token.refresh`: fresh tokens were refused too, so asking for more would only load the
/// provider's token endpoint.
async fn sit_out(owner: &AccountContext, refusals: &mut TokenRefusals) -> WaitEnd {
    tokio::select! {
        () = owner.stop.cancelled() => WaitEnd::Stopped,
        // A sign-in, or a token that was due anyway.
        () = owner.signals.wake.notified() => WaitEnd::Over,
        () = tokio::time::sleep(spread(REFUSED_RETRY)) => {
            // The refusal may have been the server's fault, so the token is tried again at long intervals.
            refusals.allow_again();
            WaitEnd::Over
        }
    }
}
