//! Why a store did not do what it was asked.

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the store's key is wrong: {0} cannot be opened with it")]
    WrongKey(String),
    #[error("the store has sealed records, but no key: {0}")]
    NoKey(String),
    #[error("the store's key {place} {problem}")]
    Key { place: String, problem: String },
    #[error("the store's key comes from {0}, where no new one can be put")]
    KeyElsewhere(String),
    #[error("other processes have the store open, and cannot learn of another key")]
    NotAlone,
    #[error("the store is in memory: there is nothing to seal")]
    InMemory,
    #[error("a record of session {0} is damaged or was moved")]
    Damaged(String),
    #[error("the store was made by a newer version (schema {0})")]
    Newer(i64),
    #[error("{0} is not a store of this program")]
    Foreign(String),
    #[error("the store cannot be opened: {place}")]
    Open {
        place: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the store cannot be written")]
    Write(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the store cannot be read")]
    Read(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the store is closed")]
    Closed,
}

impl Error {
    /// Returns what happened, where, and what the system said to it, in one line: a disk that is full is mended
    /// otherwise than one that is read-only.
    pub fn with_causes(&self) -> String {
        let place = std::error::Error::source(self);
        let said = place.and_then(std::error::Error::source);
        let causes = place.into_iter().chain(said);
        causes.fold(self.to_string(), |text, cause| format!("{text}: {cause}"))
    }

    /// Returns what a person can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::WrongKey(_) | Self::NoKey(_) => {
                "nothing was deleted: put back the key that the store was made with, or move the store's file away to begin anew"
            }
            Self::Key { .. } => {
                "a key is 32 random bytes as base64, in a file that only its owner can read (chmod 600)"
            }
            Self::KeyElsewhere(_) => {
                "give the new one: staysigned key rotate --to SOURCE; `staysigned key new` draws one"
            }
            Self::NotAlone => "stop the proxies on this store, and try again",
            Self::Damaged(_) => {
                "nothing was deleted: put back a copy of the store, or forget the session with `staysigned logout`"
            }
            Self::Newer(_) => "use the newer version, or another store.url",
            Self::Foreign(_) => "name another file in store.url",
            Self::Open { .. } | Self::Write(_) => {
                "look at the folder's owner and permissions, and at the free space of its disk"
            }
            Self::Read(_) | Self::Closed | Self::InMemory => return None,
        })
    }
}
