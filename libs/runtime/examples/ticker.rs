//! A whole service in a few lines: it counts, and can be told to fail.

use std::process::ExitCode;
use std::time::Duration;

use mailmesh_runtime::{ConfigError, Loader, run};
use serde::Deserialize;

#[derive(Deserialize)]
struct Config {
    ticker: Ticker,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ticker {
    fault: Fault,
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Fault {
    None,
    Panic,
    End,
    Busy,
    Start,
    Range,
}

fn check(config: &Config) -> Result<(), ConfigError> {
    match config.ticker.fault {
        Fault::Range => Err(ConfigError::invalid("ticker.fault", "it is out of range")),
        _ => Ok(()),
    }
}

fn main() -> ExitCode {
    let defaults = "[ticker]\nfault = \"none\"\n[shutdown]\ngrace_seconds = 1\n";
    let loader = Loader::from_environment(&["ticker"]).defaults(defaults);
    run(
        "ticker",
        &loader,
        check,
        async |config: Config, lifecycle| {
            let fault = config.ticker.fault;
            anyhow::ensure!(fault != Fault::Start, "was told not to start");
            lifecycle.checks().register("clock", async || Ok(()));
            let ticks = opentelemetry::global::meter("ticker")
                .u64_counter("mailmesh_ticks_total")
                .build();
            let stop = lifecycle.stop_token();
            lifecycle.spawn("tick", async move {
                loop {
                    let span = tracing::info_span!("tick");
                    span.in_scope(|| ticks.add(1, &[]));
                    tokio::select! {
                        () = stop.cancelled(), if fault != Fault::Busy => break,
                        () = tokio::time::sleep(Duration::from_millis(50)) => {}
                    }
                    assert!(fault != Fault::Panic, "the spring broke");
                    if fault == Fault::End {
                        break;
                    }
                }
            });
            Ok(())
        },
    )
}
