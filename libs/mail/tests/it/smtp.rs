mod commit;
mod delivery;
mod peer;
mod session;
mod sign_in;
mod stage;
mod transport;
