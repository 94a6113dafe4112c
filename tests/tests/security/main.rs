//! What must not be possible: each test tries it against real servers.

#[cfg(test)]
mod business;
#[cfg(test)]
mod locked;
#[cfg(test)]
mod promised;
#[cfg(test)]
mod reply;
#[cfg(test)]
mod services;
#[cfg(test)]
mod user;
