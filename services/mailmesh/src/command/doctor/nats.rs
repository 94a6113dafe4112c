//! NATS and the streams, with the settings and rights of this user.

use mailmesh_bus::{Bus, BusError, BusSettings, Denial, ForeignStream, StreamError};
use mailmesh_domain::ErrorChain;

use super::{Finding, Report};

/// Why the bus cannot be used; each cause is mended in another place.
#[derive(Debug, thiserror::Error)]
enum NatsTrouble {
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error(transparent)]
    Denied(Denial),
}

impl NatsTrouble {
    fn action(&self) -> String {
        match self {
            Self::Bus(error) => error.action().to_owned(),
            Self::Stream(error) => error.action().to_owned(),
            Self::Denied(denial) => denial.action(),
        }
    }
}

pub(super) async fn examine(settings: &BusSettings, report: &Report) {
    let what = format!("NATS at {}", settings.shown_url());
    match check(settings).await {
        Ok(streams) => {
            report.tell(&Finding::well(format!("{what}, with its streams")));
            for stream in &streams {
                report.tell(&foreign_stream(stream));
            }
        }
        Err(error) => {
            let problem = ErrorChain(&error).to_string();
            report.tell(&Finding::bad(what, problem, error.action()));
        }
    }
}

async fn check(settings: &BusSettings) -> Result<Vec<ForeignStream>, NatsTrouble> {
    let bus = Bus::connect(settings).await?;
    let checked = async {
        bus.check().await?;
        bus.ensure_streams().await?;
        Ok(bus.foreign_streams().await?)
    };
    tokio::select! {
        // What needed the right would only run into its time limit.
        denial = bus.denied() => Err(NatsTrouble::Denied(denial)),
        checked = checked => checked,
    }
}

fn foreign_stream(stream: &ForeignStream) -> Finding {
    Finding::bad(
        format!("the stream {}", stream.name),
        format!(
            "listens to {} and misses most of them: what is repeated there can be heard, but not stored again",
            stream.events.join(", ")
        ),
        format!(
            "Give it the stream EVENTS as its source instead of these subjects \
             (nats stream add {} --source EVENTS), or read EVENTS with a durable consumer.",
            stream.name
        ),
    )
}
