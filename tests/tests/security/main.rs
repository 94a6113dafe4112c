//! What must not be possible: each test tries it against real servers.

#[cfg(test)]
mod business;
#[cfg(test)]
mod locked;
#[cfg(test)]
mod services;
