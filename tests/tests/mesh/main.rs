//! Whole-mesh scenarios: the real binary, one process a service.

#[cfg(test)]
mod api_key;
#[cfg(test)]
mod callback;
#[cfg(test)]
mod closing;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod flow;
#[cfg(test)]
mod frozen;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod outage;
#[cfg(test)]
mod pop3;
#[cfg(test)]
mod rejected;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod separate;
#[cfg(test)]
mod story;
#[cfg(test)]
mod token;
#[cfg(test)]
mod upgrade;
