//! Where a sender keeps what it must not forget, as the command line says it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use postrider::journal::seal::Vault;
use postrider::journal::store::OpenError;
use postrider_core::id::{EventId, TenantId};
use postrider_core::sender::{Config, Restore, Sender};
use postrider_core::time::Now;
use postrider_driver::{Error, Opening};

use crate::exit::{Fault, Refusal, complain};
use crate::journal::files::Files;
use crate::journal::read::{self, Much};

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

/// What a journal is opened with.
pub(crate) struct Settings {
    pub(crate) directory: PathBuf,
    pub(crate) takeover: Duration,
    pub(crate) vault: Option<Vault>,
    pub(crate) salvage: bool,
    /// Whether there is none yet.
    new: bool,
}

impl Store {
    /// Whether it outlives the process.
    pub(crate) fn is_durable(&self) -> bool {
        self.journal.is_some()
    }

    /// How the journal is to be opened; `None` without one.
    pub(crate) fn settings(&self) -> Result<Option<Settings>, Refusal> {
        let Some(directory) = self.journal.clone() else { return Ok(None) };
        let vault = self.journal_key.as_deref().map(|key| match key.strip_prefix("env:") {
            Some(variable) => Vault::from_env(variable),
            None => Vault::from_file(key),
        });
        let vault = vault.transpose().map_err(|why| Refusal::new(format!("--journal-key: {why}")))?;
        let new = !Files::are_in(&directory);
        let takeover = Duration::from_secs(self.takeover);
        Ok(Some(Settings { directory, takeover, vault, salvage: self.salvage, new }))
    }

    /// The machine that the journal tells of, which writes nothing back; `None` without a journal, or when it is new.
    pub(crate) fn machine(&self, config: Config, now: Now) -> Result<Option<Sender>, Refusal> {
        let Some(settings) = self.settings()?.filter(|settings| !settings.new) else { return Ok(None) };
        let journal = read::read(&settings.directory, Much::State, |all: &mut Vec<_>, _, entry, record| {
            all.push((entry.key.seq, record.clone()));
        })?;
        let mut restore = Restore::new(config);
        for (seq, record) in journal.own {
            let opened = match &settings.vault {
                Some(vault) => record.open_with(|endpoint, name, bytes| vault.open(endpoint, name, bytes)),
                None => Ok(record),
            };
            restore = restore.record((seq, opened.map_err(|why| Refusal::new(format!("--journal-key: {why}")))?));
        }
        Ok(Some(restore.finish(now).map_err(Refusal::new)?))
    }

    /// The events that the journal has and that have not ended; `None` without a journal.
    pub(crate) fn pending(&self) -> Result<Option<Vec<(TenantId, EventId)>>, Refusal> {
        let Some(directory) = &self.journal else { return Ok(None) };
        if !Files::are_in(directory) {
            // It is new, and nothing has been written yet.
            return Ok(Some(Vec::new()));
        }
        let journal = read::read(directory, Much::State, |_: &mut (), _, _, _| {})?;
        Ok(Some(journal.state.events.into_values().map(|event| (event.tenant, event.id)).collect()))
    }
}

impl Settings {
    /// Says what is worth hearing while the journal is opened.
    pub(crate) fn teller(&self) -> impl Fn(Opening) + Send + Sync + 'static {
        let new = self.new;
        move |opening| match opening {
            // Once is enough: when there is something to change with little trouble.
            Opening::Unsealed { directory } if new => complain!(
                "note: secrets stand unsealed in {}, for whoever may read it; seal them with --journal-key",
                directory.display()
            ),
            Opening::Unsealed { .. } => {}
            Opening::Salvaged { lost, .. } => {
                for place in lost {
                    complain!("lost: {place}");
                    for event in &place.ids {
                        complain!("lost: event {} of {}", event.event, event.tenant);
                    }
                }
            }
            opening => complain!("note: {opening}"),
        }
    }
}

/// Why a sender could not be opened, in the words of the command line.
pub(crate) fn refusal(error: Error) -> Refusal {
    match error {
        Error::Directory(error) => unopened(&error.directory, &error.why, Some("--salvage, which lists what is lost")),
        error => Refusal::new(error),
    }
}

/// Why a journal could not be opened, and by which option of the command one that is damaged can be.
pub(crate) fn unopened(directory: &Path, why: &OpenError, salvage: Option<&str>) -> Refusal {
    let directory = directory.display();
    let fault = |what: String| Fault { place: None, key: None, what: format!("{directory}: {what}") };
    match why {
        OpenError::Corrupt(places) => {
            let mut faults: Vec<_> =
                places.iter().map(|place| fault(format!("the journal is damaged in {place}"))).collect();
            let salvage = salvage.unwrap_or("postrider deliver --salvage");
            faults.push(fault(format!(
                "nothing was changed; put a copy in its place, or go on with everything intact by {salvage}"
            )));
            faults.into()
        }
        OpenError::Busy { .. } => fault(format!("{why}; wait longer for it by --takeover")).into(),
        _ => fault(why.to_string()).into(),
    }
}
