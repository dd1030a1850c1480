//! Where a sender keeps what it must not forget, as the command line says it.

use std::path::PathBuf;

use postrider_core::id::{EventId, TenantId};

use crate::exit::Refusal;

/// The journal, and how it is opened.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Store {
    /// Keep everything in this directory: after any end, run the same command again and it goes on where it was
    #[arg(long, value_name = "DIR")]
    journal: Option<PathBuf>,
    /// Wait so long for another process that holds the journal
    #[arg(long, value_name = "SECS", default_value_t = 30, requires = "journal")]
    takeover: u64,
    /// Where the key is that secrets are sealed with in the journal: a file, or env:NAME
    #[arg(long, value_name = "FILE|env:NAME", requires = "journal")]
    journal_key: Option<String>,
    /// Go on with everything intact of a damaged journal, and list what was lost
    #[arg(long, requires = "journal")]
    salvage: bool,
}

impl Store {
    /// Whether it outlives the process.
    pub(crate) fn is_durable(&self) -> bool {
        self.journal.is_some()
    }

    /// The events that the journal has and that have not ended; `None` without a journal.
    pub(crate) fn pending(&self) -> Result<Option<Vec<(TenantId, EventId)>>, Refusal> {
        Ok(None)
    }
}
