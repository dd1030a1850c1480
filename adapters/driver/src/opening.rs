//! How a directory becomes a sender's log, and what is worth telling on the way.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use postrider_journal::store::Corrupt;

/// Something that whoever opens a directory should hear of. Nothing is printed: an application decides where it goes.
///
/// `Display` is a whole sentence for people, without a final full stop.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Opening {
    /// Another process has the directory; it is waited for. Told once.
    Waiting {
        /// The directory.
        directory: PathBuf,
        /// The number of that process, if it can be told.
        process: Option<u32>,
        /// For so long, at most.
        at_most: Duration,
    },
    /// No vault was given: signing keys and secret header values stand in the files as they are, for whoever may read
    /// them. Told once.
    Unsealed {
        /// The directory.
        directory: PathBuf,
    },
    /// The directory was damaged, and was opened with everything in it that is intact.
    Salvaged {
        /// The directory.
        directory: PathBuf,
        /// What is lost: each place, with the events that could be named.
        lost: Vec<Corrupt>,
    },
    /// Others than its owner may read the file of a vault's key.
    VaultExposed {
        /// The file.
        file: PathBuf,
    },
}

impl fmt::Display for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting { directory, process, at_most } => {
                write!(f, "{} is used by ", directory.display())?;
                match process {
                    Some(process) => write!(f, "process {process}")?,
                    None => f.write_str("another process")?,
                }
                write!(f, "; waiting up to {at_most:.0?} for it to end")
            }
            Self::Unsealed { directory } => write!(
                f,
                "the secrets of endpoints stand unsealed in {}; give a vault key to seal them",
                directory.display()
            ),
            Self::Salvaged { directory, lost } => {
                write!(f, "{} was damaged, and is used without what is lost", directory.display())?;
                lost.iter().try_for_each(|place| write!(f, "; {place}"))
            }
            Self::VaultExposed { file } => {
                write!(f, "others than its owner may read the vault key in {}; set its mode to 600", file.display())
            }
        }
    }
}

/// Who is told; a clone tells the same one.
#[derive(Clone, Default)]
pub(crate) struct Teller(Option<Arc<dyn Fn(Opening) + Send + Sync>>);

impl Teller {
    pub(crate) fn new(tell: impl Fn(Opening) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(tell)))
    }

    pub(crate) fn tell(&self, opening: Opening) {
        if let Some(tell) = &self.0 {
            tell(opening);
        }
    }
}

impl fmt::Debug for Teller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Teller(..)" } else { "Teller(nobody)" })
    }
}
