use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};

use crate::envelope::{Command, Event, type_of};

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

impl Message {
    pub(crate) fn event<E: Event>() -> Self {
        Self {
            name: E::NAME,
            ce_type: type_of(E::NAME, E::VERSION),
            role: Role::Event,
            schema: schema_of::<E>(),
        }
    }

    pub(crate) fn command<C: Command>() -> Self {
        Self {
            name: C::NAME,
            ce_type: type_of(C::NAME, C::VERSION),
            role: Role::Command,
            schema: schema_of::<C>(),
        }
    }
}

fn schema_of<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<T>()
}
