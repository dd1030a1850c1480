//! One process at a time has a directory.

use std::fs::{self, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::time::{Duration, Instant};

use crate::std_disk::StdDisk;
use crate::store::{OpenError, names};

/// Time between two looks at a lock that another process holds.
const POLL: Duration = Duration::from_millis(100);

/// Time between two times that waiting is told.
const TELL: Duration = Duration::from_secs(1);

/// Another process has the directory, and this one waits for it to let go.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiting {
    /// For so long.
    pub elapsed: Duration,
    /// The number of that process, if it can be told.
    pub process: Option<u32>,
}

/// A directory that is this process's until it is dropped, or the process ends in whatever way.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: fs::File,
}

impl Lock {
    /// Takes the directory, waiting up to `wait` for another process to let go of it; `tell` is called when that
    /// begins, and every second.
    pub(crate) fn take(disk: &StdDisk, wait: Duration, tell: &mut dyn FnMut(Waiting)) -> Result<Self, OpenError> {
        let mut file = disk.file(names::LOCK).map_err(|error| OpenError::io("opening", names::LOCK, &error))?;
        let (start, mut told) = (Instant::now(), None);
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(OpenError::io("locking", names::LOCK, &error)),
                Err(TryLockError::WouldBlock) => {}
            }
            let elapsed = start.elapsed();
            if elapsed >= wait {
                return Err(OpenError::Busy { process: holder(&mut file) });
            }
            if told.is_none_or(|told| elapsed >= told + TELL) {
                told = Some(elapsed);
                tell(Waiting { elapsed, process: holder(&mut file) });
            }
            std::thread::sleep(POLL.min(wait - elapsed));
        }
        // Only for people and for the message of those who wait.
        let number = std::process::id().to_string();
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(number.as_bytes()));
        Ok(Self { _file: file })
    }
}

/// The process that says it has the lock.
fn holder(file: &mut fs::File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().and_then(|()| file.take(16).read_to_string(&mut text)).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_told_and_takes_over() {
        let dir = tempfile::tempdir().unwrap();
        let disk = StdDisk::new(dir.path()).unwrap();
        let first = Lock::take(&disk, Duration::ZERO, &mut |_| panic!("nobody has it")).unwrap();
        let process = Some(std::process::id());
        let refused = Lock::take(&disk, Duration::ZERO, &mut |_| panic!("it does not wait")).unwrap_err();
        assert_eq!(refused, OpenError::Busy { process });
        let mut told = Vec::new();
        std::thread::scope(|scope| {
            let waiting =
                scope.spawn(|| Lock::take(&disk, Duration::from_secs(20), &mut |waiting| told.push(waiting)).map(drop));
            std::thread::sleep(Duration::from_millis(150));
            drop(first);
            waiting.join().unwrap().unwrap();
        });
        assert_eq!(told.iter().map(|waiting| waiting.process).collect::<Vec<_>>(), [process]);
    }
}
