//! Real sockets against scripted providers on this machine.

#[cfg(test)]
mod app_token;
#[cfg(test)]
mod case;
#[cfg(test)]
mod check;
#[cfg(test)]
mod discovery;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod provider;
#[cfg(test)]
mod secrecy;
#[cfg(test)]
mod signing;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod tokens;
