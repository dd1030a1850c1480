//! Every flight recorder's trace in `tests/traces`, run again: the machine must still answer each call as it did.

use std::fs;
use std::path::{Path, PathBuf};

use postrider_core::sender::trace::Replay;

fn traces() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces");
    let files = fs::read_dir(&folder).expect("the folder of traces is there");
    let mut traces: Vec<_> = files.map(|file| file.expect("it can be listed").path()).collect();
    traces.retain(|file| file.extension().is_some_and(|ending| ending == "trace"));
    traces.sort();
    traces
}

#[test]
fn what_was_recorded_happens_again() {
    let traces = traces();
    assert!(!traces.is_empty(), "there is nothing to run again");
    for file in traces {
        let bytes = fs::read(&file).expect("it can be read");
        let mut replay = Replay::new(bytes).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
        let difference = replay.run().unwrap_or_else(|why| panic!("{}: {why}", file.display()));
        if let Some(difference) = difference {
            panic!("{}: {difference}", file.display());
        }
        let (calls, outputs) = replay.progress();
        assert!(calls > 0 && outputs > 0, "{}: nothing was recorded", file.display());
    }
}

/// A trace that is off by a bit is another story. Some of them come to the same, such as a clock a moment later; most do
/// not, and a digest never does.
#[test]
fn a_trace_that_says_something_else_is_told() {
    let bytes = fs::read(traces().first().expect("there is a trace")).expect("it can be read");
    let (mut told, mut tried) = (0, 0);
    for at in (bytes.len() / 2..bytes.len()).step_by(1 + bytes.len() / 256) {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        tried += 1;
        let run = Replay::new(bytes).and_then(|mut replay| replay.run());
        told += u32::from(!matches!(run, Ok(None)));
    }
    assert!(told * 4 >= tried * 3, "only {told} of {tried} changed traces were told apart");
}
