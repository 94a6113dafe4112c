//! What an account does while it is not connected.

use std::time::Duration;

use mailmesh_domain::GrantId;

use crate::account::{REFUSALS_TO_REPORT, State, Worker};
use crate::context::{backoff, jittered};
use crate::credentials;

const REFUSED_RETRY: Duration = Duration::from_mins(15);
const TOKEN_WAIT_LIMIT: Duration = Duration::from_mins(1);

impl Worker {
    /// Waits for a time or the stop; a hint must not cut the wait short that a server asked for.
    pub(crate) async fn rest(&self, delay: Duration) -> State {
        tokio::select! {
            () = self.stop.cancelled() => State::Stopped,
            () = tokio::time::sleep(delay) => State::Connecting,
        }
    }

    /// Waits for a wake-up or the stop. The supervisor looks for tokens that came without a hint.
    pub(crate) async fn await_sign_in(&self, generation: Option<i64>) -> State {
        self.signals.wait_for_newer(generation, true);
        let state = tokio::select! {
            () = self.stop.cancelled() => State::Stopped,
            () = self.signals.wake.notified() => State::Connecting,
        };
        self.signals.wait_for_newer(None, false);
        state
    }

    /// Asks for a newer token until there is one. The supervisor looks for all that wait, and wakes.
    pub(crate) async fn await_token(&mut self, generation: i64) -> State {
        let Some(grant_id) = self.account.grant_id else {
            return State::WaitingForSignIn {
                generation: Some(generation),
            };
        };
        self.signals.wait_for_newer(Some(generation), false);
        let state = if self.refusals >= REFUSALS_TO_REPORT {
            self.sit_out().await
        } else {
            self.ask_until_newer(grant_id, generation).await
        };
        self.signals.wait_for_newer(None, false);
        state
    }

    async fn ask_until_newer(&self, grant_id: GrantId, generation: i64) -> State {
        let base = Duration::from_secs(self.context.settings.token_wait_seconds);
        let mut asked = 0;
        loop {
            credentials::ask_for_refresh(&self.context, grant_id, generation).await;
            let pause = backoff(asked, base, TOKEN_WAIT_LIMIT);
            asked += 1;
            tokio::select! {
                () = self.stop.cancelled() => return State::Stopped,
                () = self.signals.wake.notified() => return State::Connecting,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Waits without asking: each token that is asked for would be refused as well, and the provider
    /// would be asked for one after the other without end.
    async fn sit_out(&mut self) -> State {
        tokio::select! {
            () = self.stop.cancelled() => State::Stopped,
            // A sign-in, or a token that was due anyway.
            () = self.signals.wake.notified() => State::Connecting,
            () = tokio::time::sleep(jittered(REFUSED_RETRY)) => {
                // A server that was wrong about the token gets another chance now and then.
                self.refused_generation = None;
                State::Connecting
            }
        }
    }
}
