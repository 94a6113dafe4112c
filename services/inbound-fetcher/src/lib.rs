//! Watches mailboxes and publishes each new mail once.
