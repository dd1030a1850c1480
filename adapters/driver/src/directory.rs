//! A directory as a sender's log.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use postrider_core::sender::Config;
use postrider_journal::history::Retention;
use postrider_journal::seal::Vault;
use postrider_journal::store::{OpenError, Options, Recovery};
use postrider_journal::{FileLog, FileOptions};

use crate::desk::{Desk, Restoring};
use crate::error::Error;
use crate::flight::FlightRecorder;
use crate::opening::{Opening, Teller};

/// How long another process that has the directory is waited for, when nothing else is said.
const TAKEOVER: Duration = Duration::from_secs(30);

/// How a directory is opened and kept: what both senders' builders say of it.
#[derive(Clone, Debug)]
#[must_use = "a directory is opened only when it is told to"]
pub struct Directory {
    options: Options,
    vault: Option<Vault>,
    takeover: Duration,
    teller: Teller,
    recorder: Option<FlightRecorder>,
}

impl Directory {
    /// The usual way: nothing is sealed, another process is waited for 30 s, damage is refused, ended events stay
    /// readable as long as [`Retention::default`] says, segments have 64 MiB, and there is no budget.
    pub fn new() -> Self {
        Self { options: Options::default(), vault: None, takeover: TAKEOVER, teller: Teller::default(), recorder: None }
    }

    /// Sets what secrets are sealed with.
    pub fn vault(mut self, vault: Vault) -> Self {
        self.vault = Some(vault);
        self
    }

    /// Sets how long another process that has the directory is waited for.
    pub fn takeover(mut self, at_most: Duration) -> Self {
        self.takeover = at_most;
        self
    }

    /// Sets how long ended events stay readable, and how much room they may take.
    pub fn retention(mut self, retention: Retention) -> Self {
        self.options.retention = retention;
        self
    }

    /// Sets whether a damaged log is opened with everything in it that is intact, instead of being refused.
    pub fn salvage(mut self, salvage: bool) -> Self {
        self.options.recovery = if salvage { Recovery::Salvage } else { Recovery::Strict };
        self
    }

    /// Sets how large a segment is.
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.options.segment_bytes = bytes;
        self
    }

    /// Sets how many bytes all files may take together.
    pub fn budget(mut self, bytes: u64) -> Self {
        self.options.budget = Some(bytes);
        self
    }

    /// Sets who is told what is worth hearing while a directory is opened; nobody without it. Called by the thread that
    /// opens, before the sender is there.
    pub fn on_opening(mut self, tell: impl Fn(Opening) + Send + Sync + 'static) -> Self {
        self.teller = Teller::new(tell);
        self
    }

    /// Sets where everything that happens to the sender is written down.
    pub fn recorder(mut self, recorder: FlightRecorder) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// Where everything that happens is written down, if it is.
    pub fn recording(&self) -> Option<&FlightRecorder> {
        self.recorder.as_ref()
    }

    /// What secrets are sealed with.
    pub fn sealing(&self) -> Option<&Vault> {
        self.vault.as_ref()
    }

    /// Opens the directory, which is made if it does not exist, and a desk on the log in it. Blocks: for as long as
    /// another process has it, and while what is in it is read.
    pub fn open(&self, directory: &Path, config: Config) -> Result<Desk, Error> {
        let failed = |why| DirectoryError { directory: directory.to_owned(), waited: self.takeover, why };
        match &self.vault {
            None => self.teller.tell(Opening::Unsealed { directory: directory.to_owned() }),
            Some(vault) => {
                vault.exposed().iter().for_each(|file| self.teller.tell(Opening::VaultExposed { file: file.clone() }));
            }
        }
        let log = FileLog::open(directory, self.file_options(directory)).map_err(failed)?;
        let found = log.found();
        if !found.lost.is_empty() {
            self.teller.tell(Opening::Salvaged { directory: directory.to_owned(), lost: found.lost.clone() });
        }
        let missing = log.gaps().to_vec();
        Desk::open_with(log, config, Restoring { vault: self.vault.clone(), missing, recorder: self.recorder.clone() })
    }

    fn file_options(&self, directory: &Path) -> FileOptions {
        let (teller, directory, at_most) = (self.teller.clone(), directory.to_owned(), self.takeover);
        let mut told = false;
        let mut options = FileOptions::default();
        options.store = self.options.clone();
        options.takeover = self.takeover;
        options.tell = Some(Box::new(move |waiting| {
            if !std::mem::replace(&mut told, true) {
                teller.tell(Opening::Waiting { directory: directory.clone(), process: waiting.process, at_most });
            }
        }));
        options
    }
}

impl Default for Directory {
    fn default() -> Self {
        Self::new()
    }
}

/// Why a directory cannot be opened as a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DirectoryError {
    /// The directory.
    pub directory: PathBuf,
    /// How long another process would have been waited for.
    pub waited: Duration,
    /// Why not.
    pub why: OpenError,
}

impl fmt::Display for DirectoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { directory, waited, why } = self;
        write!(f, "{}: {why}", directory.display())?;
        match why {
            OpenError::Busy { .. } => {
                write!(
                    f,
                    ", and still did after {waited:.0?}; end it, wait longer (takeover), or open another directory"
                )
            }
            OpenError::Corrupt(_) => f.write_str("; nothing was changed; salvage goes on with everything intact"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for DirectoryError {}
