//! The thread that waits for the disk, so that what comes meanwhile is written at once.

use std::sync::mpsc::{self, Sender};

use super::worker::Job;
use crate::StdFile;
use crate::store::Syncing;

/// Syncs one file at a time and tells the thread of the log; ends when this is dropped.
pub(super) struct Syncer(Option<Sender<Syncing<StdFile>>>);

impl Syncer {
    /// Starts the thread. Without one, whoever asks waits for the disk.
    pub(super) fn start(tell: Sender<Job>) -> Self {
        let (ask, asked) = mpsc::channel::<Syncing<StdFile>>();
        let thread = std::thread::Builder::new().name("postrider-sync".to_owned());
        let thread = thread.spawn(move || {
            for syncing in asked {
                let synced = syncing.run();
                if tell.send(Job::Synced(syncing, synced)).is_err() {
                    return;
                }
            }
        });
        Self(thread.is_ok().then_some(ask))
    }

    /// Has a file synced: `Err` gives it back if there is no thread to do it.
    pub(super) fn sync(&self, syncing: Syncing<StdFile>) -> Result<(), Syncing<StdFile>> {
        match &self.0 {
            Some(ask) => ask.send(syncing).map_err(|refused| refused.0),
            None => Err(syncing),
        }
    }
}
