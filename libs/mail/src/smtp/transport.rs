//! SMTP submission as a [`MailTransport`].

use std::error::Error;

use futures_util::future::BoxFuture;
use mailmesh_domain::ErrorChain;
use tokio::time::Instant;

use super::connection::Connection;
use super::delivery::{PreparedDelivery, SmtpPreparation};
use super::error::{CommitError, SmtpError};
use super::reply::Reply;
use super::settings::{SmtpSettings, SmtpTimeouts};
use super::verdict::Phase;
use crate::message::Envelope;
use crate::transport::{
    CommitResult, FailureDetail, MailTransport, Preparation, PreparedMail, RecipientResult,
    TransportFailure, TransportSettings,
};
use crate::{Credentials, Server};

/// Sends mail by SMTP submission.
#[derive(Debug)]
pub struct SmtpTransport(Connection);

impl SmtpTransport {
    /// Takes a signed-in connection.
    pub const fn new(connection: Connection) -> Self {
        Self(connection)
    }

    /// Connects and signs in.
    pub fn connect<'a>(
        server: &'a Server,
        credentials: &'a Credentials,
        settings: &'a TransportSettings,
    ) -> BoxFuture<'a, Result<Self, TransportFailure>> {
        Box::pin(async move {
            let settings = SmtpSettings::from(settings);
            let connected = Connection::connect(server, credentials, &settings).await;
            connected.map(Self).map_err(|error| failure_of(&error))
        })
    }
}

impl From<&TransportSettings> for SmtpSettings {
    fn from(settings: &TransportSettings) -> Self {
        Self {
            ehlo_name: settings.client_name.clone(),
            timeouts: SmtpTimeouts {
                connect: settings.connect_timeout,
                command: settings.command_timeout,
                commit: settings.commit_timeout,
                ..SmtpTimeouts::default()
            },
            pipelining: settings.pipelining.clone(),
        }
    }
}

impl MailTransport for SmtpTransport {
    fn prepare<'a>(
        &'a mut self,
        envelope: &'a Envelope,
        raw: &'a [u8],
    ) -> BoxFuture<'a, Result<Preparation<'a>, TransportFailure>> {
        Box::pin(async move {
            match self.0.prepare(envelope, raw).await {
                Ok(SmtpPreparation::Ready(prepared)) => Ok(Preparation::Ready(Box::new(prepared))),
                Ok(SmtpPreparation::Refused(results)) => Ok(Preparation::Refused(results)),
                Err(error) => Err(failure_of(&error)),
            }
        })
    }

    fn is_reusable(&self) -> bool {
        self.0.is_reusable()
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        self.0.quit()
    }
}

impl PreparedMail for PreparedDelivery<'_> {
    fn recipients(&self) -> &[RecipientResult] {
        self.recipients()
    }

    fn commit_before<'a>(self: Box<Self>, deadline: Instant) -> BoxFuture<'a, CommitResult>
    where
        Self: 'a,
    {
        Box::pin(async move {
            let mut prepared = *self;
            let recipients = prepared.take_recipients();
            match prepared.commit_before(Some(deadline)).await {
                Ok(reply) => CommitResult::Accepted {
                    recipients,
                    reply: reply.to_string(),
                },
                Err(error) if error.is_uncertain() => CommitResult::Uncertain {
                    recipients,
                    failure: failure_of_commit(&error),
                },
                Err(error) => CommitResult::Unsent(failure_of_commit(&error)),
            }
        })
    }

    fn abandon<'a>(self: Box<Self>) -> BoxFuture<'a, ()>
    where
        Self: 'a,
    {
        Box::pin((*self).abandon())
    }
}

fn failure_of(error: &SmtpError) -> TransportFailure {
    let detail = match error {
        SmtpError::ClosedWhileIdle | SmtpError::Unusable => FailureDetail::NotTried,
        SmtpError::TokenRefused { .. } => FailureDetail::TokenRefused,
        SmtpError::Refused {
            phase: Phase::Content,
            ..
        } => FailureDetail::ContentRefused,
        _ => FailureDetail::None,
    };
    TransportFailure::new(
        with_reply(error, error.reply()),
        error.diagnosis(),
        error.scope(),
    )
    .with_code(error.reply().map(Reply::status))
    .with_detail(detail)
}

fn failure_of_commit(error: &CommitError) -> TransportFailure {
    TransportFailure::new(
        with_reply(error, error.reply()),
        error.diagnosis(),
        error.scope(),
    )
    .with_code(error.reply().map(Reply::status))
    .with_detail(FailureDetail::ContentRefused)
}

/// Formats a failure with its causes and the server's reply.
fn with_reply(error: &dyn Error, reply: Option<&Reply>) -> String {
    let what = ErrorChain(error).sentence();
    match reply {
        Some(reply) => format!("{what} ({reply})"),
        None => what,
    }
}
