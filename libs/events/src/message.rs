use schemars::Schema;

/// Which way a message goes, seen from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Published by mailmesh.
    Event,
    /// Published by business systems.
    Command,
}

/// One message of the contract.
#[derive(Debug)]
pub struct Message {
    /// The name, such as `mail.received`.
    pub name: &'static str,
    /// The CloudEvents type, such as `mail.received.v1`.
    pub ce_type: String,
    /// Which way it goes.
    pub role: Role,
    /// The schema of its body.
    pub schema: Schema,
}
