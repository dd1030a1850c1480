//! A machine in the making, written down or not.

use postrider_core::id::JournalSeq;
use postrider_core::journal::Record;
use postrider_core::seed::Seed;
use postrider_core::sender::trace::{Detail, Recorder, RecorderRestore};
use postrider_core::sender::{Config, Restore, RestoreError, Sender};
use postrider_core::time::Now;

use crate::error::Error;
use crate::flight::{Flight, FlightRecorder};
use crate::mint;

/// Records after which what was written of them is handed to the files.
const PIECE: u32 = 1024;

/// A machine that is being made.
#[derive(Debug)]
pub(super) struct Making {
    config: Config,
    how: How,
    flight: Option<Flight>,
    detail: Option<Detail>,
    records: u32,
}

#[derive(Debug)]
enum How {
    Plain(Option<Box<Restore>>),
    Recorded(Option<Box<RecorderRestore>>),
}

impl Making {
    pub(super) fn begin(config: Config, recorder: Option<FlightRecorder>) -> Result<Self, Error> {
        let detail = recorder.as_ref().map(FlightRecorder::detail);
        let how = match detail {
            None => How::Plain(Some(Box::new(Restore::new(config.clone())))),
            Some(detail) => How::Recorded(Some(Box::new(Recorder::restore(config.clone(), detail, mint::salt()?)))),
        };
        let flight = recorder.as_ref().map(FlightRecorder::begin).transpose()?;
        Ok(Self { config, how, flight, detail, records: 0 })
    }

    /// A machine with an empty store.
    pub(super) fn anew(&self, seed: Seed, now: Now) -> Result<Recorder, Error> {
        let config = self.config.clone();
        Ok(match self.detail {
            None => Recorder::off(Sender::new(config, seed, now)),
            Some(detail) => Recorder::new(config, seed, now, detail, mint::salt()?),
        })
    }

    pub(super) fn missing(&mut self, first: JournalSeq, last: JournalSeq) {
        match &mut self.how {
            How::Plain(restore) => change(restore, |restore| restore.missing(first, last)),
            How::Recorded(restore) => change(restore, |restore| restore.missing(first, last)),
        }
    }

    pub(super) fn record(&mut self, record: (JournalSeq, Record)) -> Result<(), Error> {
        match &mut self.how {
            How::Plain(restore) => change(restore, |restore| restore.record(record)),
            How::Recorded(restore) => change(restore, |restore| restore.record(record)),
        }
        self.records += 1;
        if self.records.is_multiple_of(PIECE)
            && let (How::Recorded(Some(restore)), Some(flight)) = (&mut self.how, &mut self.flight)
        {
            flight.write(&restore.take())?;
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, now: Now) -> Result<Recorder, RestoreError> {
        const ONCE: &str = "a machine is made once";
        match &mut self.how {
            How::Plain(restore) => restore.take().expect(ONCE).finish(now).map(Recorder::off),
            How::Recorded(restore) => restore.take().expect(ONCE).finish(now),
        }
    }

    pub(super) fn into_flight(self) -> Option<Flight> {
        self.flight
    }
}

/// Carries out what takes and gives back a value.
fn change<T>(place: &mut Option<Box<T>>, with: impl FnOnce(T) -> T) {
    let old = place.take().expect("it is always put back, until the machine is made");
    *place = Some(Box::new(with(*old)));
}

#[cfg(test)]
mod tests {
    use postrider_core::sender::Input;
    use postrider_core::sender::trace::Replay;
    use postrider_journal::MemoryLog;

    use super::super::tests::{Bench, Carrier, acme, channel, paid};
    use super::super::{Desk, Restoring};
    use super::*;
    use crate::flight::read_trace;

    /// A sender on a log, with the recorder on; it gets an event, and its attempt stays open.
    fn run(log: &MemoryLog, dir: &std::path::Path, id: &str) {
        let restoring = Restoring { recorder: Some(FlightRecorder::new(dir)), ..Restoring::default() };
        let desk = Desk::open_with(log.clone(), Config::new(), restoring).unwrap();
        let mut bench = Bench { desk, carrier: Carrier::default() };
        bench.desk.handle(Input::Credit(8));
        let (reply, put) = channel();
        bench.desk.put(acme(), reply);
        bench.run();
        put.try_recv().unwrap().unwrap();
        let (reply, published) = channel();
        bench.desk.publish(paid(id), reply);
        bench.run();
        published.try_recv().unwrap().unwrap();
    }

    #[test]
    fn what_a_desk_recorded_runs_again_after_a_restart_too() {
        let (dir, log) = (tempfile::tempdir().unwrap(), MemoryLog::keeping());
        for (run_number, id) in ["first", "second"].into_iter().enumerate() {
            run(&log, dir.path(), id);
            let mut replay = Replay::new(read_trace(dir.path()).unwrap()).unwrap();
            assert_eq!(replay.run().unwrap(), None);
            let (calls, outputs) = replay.progress();
            assert!(calls > 3 && outputs > 5, "{calls} calls, {outputs} outputs");
            assert_eq!(replay.machine().events(), run_number + 1);
        }
    }
}
