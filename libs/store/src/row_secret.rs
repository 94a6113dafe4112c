use mailmesh_secrets::SealedSecret;

/// The sealed secret of a row, as far as its reader may see it. Storing [`Self::Unread`] leaves the column as it is, so that
/// who may not read a secret can change the row around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowSecret {
    /// The row has none.
    Absent,
    /// The row has one, which was not read.
    Unread,
    /// The secret.
    Sealed(SealedSecret),
}

impl RowSecret {
    /// Returns whether the row has a secret, read or not.
    pub const fn is_set(&self) -> bool {
        !matches!(self, Self::Absent)
    }

    /// Returns the secret, if it was read.
    pub const fn sealed(&self) -> Option<&SealedSecret> {
        match self {
            Self::Sealed(sealed) => Some(sealed),
            Self::Absent | Self::Unread => None,
        }
    }

    /// `is_set` comes from the column that is generated for roles that may not read the sealed one.
    pub(crate) fn of_columns(is_set: bool, sealed: Option<SealedSecret>) -> Self {
        match (sealed, is_set) {
            (Some(sealed), _) => Self::Sealed(sealed),
            (None, true) => Self::Unread,
            (None, false) => Self::Absent,
        }
    }

    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        self.sealed().map(SealedSecret::as_bytes)
    }
}

impl From<Option<SealedSecret>> for RowSecret {
    fn from(sealed: Option<SealedSecret>) -> Self {
        sealed.map_or(Self::Absent, Self::Sealed)
    }
}
