//! A directory of the file system.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::disk::{Disk, File};

/// A directory. It is made readable for its owner alone, and so are the files in it.
#[derive(Clone, Debug)]
pub struct StdDisk {
    dir: PathBuf,
}

impl StdDisk {
    /// The directory at this path, made with those above it if there is none; its name is durable then.
    pub fn new(dir: impl AsRef<Path>) -> io::Result<Self> {
        let dir = dir.as_ref().to_owned();
        if !dir.is_dir() {
            make_dir(&dir)?;
            let above = dir.parent().filter(|above| !above.as_os_str().is_empty());
            sync_dir(above.unwrap_or_else(|| Path::new(".")))?;
        }
        Ok(Self { dir })
    }

    /// The directory at this path, which must exist.
    pub fn existing(dir: impl AsRef<Path>) -> io::Result<Self> {
        let dir = dir.as_ref().to_owned();
        if fs::metadata(&dir)?.is_dir() { Ok(Self { dir }) } else { Err(io::ErrorKind::NotADirectory.into()) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// A file of it, for reading and writing; made if there is none.
    pub(crate) fn file(&self, name: &str) -> io::Result<fs::File> {
        private(OpenOptions::new().read(true).write(true).create(true).truncate(false)).open(self.dir.join(name))
    }
}

impl Disk for StdDisk {
    type File = StdFile;

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                // A name that is no text is none of a store.
                names.extend(entry.file_name().into_string());
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str, size: u64) -> io::Result<StdFile> {
        let path = self.dir.join(name);
        let file = private(OpenOptions::new().read(true).write(true).create_new(true)).open(&path)?;
        if size > 0
            && let Err(error) = reserve(&file, size)
        {
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok(StdFile { file })
    }

    fn open(&self, name: &str) -> io::Result<StdFile> {
        let path = self.dir.join(name);
        let file = OpenOptions::new().read(true).write(true).open(&path);
        let file = file.or_else(|error| match error.kind() {
            // A copy that may only be read can still be looked at.
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => fs::File::open(&path),
            _ => Err(error),
        });
        Ok(StdFile { file: file? })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.dir.join(from), self.dir.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.dir.join(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        sync_dir(&self.dir)
    }

    fn room(&self) -> io::Result<Option<u64>> {
        room(&self.dir)
    }
}

/// An open file of a [`StdDisk`].
#[derive(Debug)]
pub struct StdFile {
    file: fs::File,
}

impl File for StdFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < into.len() {
            match read_some(&self.file, offset + done as u64, &mut into[done..]) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            match write_some(&self.file, offset + done as u64, &bytes[done..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => done += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        // A length that is needed to read what was written is part of it.
        self.file.sync_data()
    }
}

#[cfg(unix)]
fn make_dir(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

#[cfg(not(unix))]
fn make_dir(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    options.mode(0o600)
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

#[cfg(unix)]
fn sync_dir(dir: &Path) -> io::Result<()> {
    fs::File::open(dir)?.sync_all()
}

/// Elsewhere a directory cannot be opened, and names are durable when the call that changed them returns.
#[cfg(not(unix))]
fn sync_dir(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn read_some(file: &fs::File, offset: u64, into: &mut [u8]) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, into, offset)
}

#[cfg(windows)]
fn read_some(file: &fs::File, offset: u64, into: &mut [u8]) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, into, offset)
}

#[cfg(unix)]
fn write_some(file: &fs::File, offset: u64, bytes: &[u8]) -> io::Result<usize> {
    std::os::unix::fs::FileExt::write_at(file, bytes, offset)
}

#[cfg(windows)]
fn write_some(file: &fs::File, offset: u64, bytes: &[u8]) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_write(file, bytes, offset)
}

/// Reserves bytes on the disk, so that writing them needs no more room; where that cannot be done, sets the length.
#[cfg(target_os = "linux")]
fn reserve(file: &fs::File, size: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    match fallocate(file, FallocateFlags::empty(), 0, size) {
        Ok(()) => Ok(()),
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => file.set_len(size),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn reserve(file: &fs::File, size: u64) -> io::Result<()> {
    file.set_len(size)
}

#[cfg(unix)]
fn room(dir: &Path) -> io::Result<Option<u64>> {
    let disk = rustix::fs::statvfs(dir)?;
    Ok(Some(disk.f_bavail.saturating_mul(disk.f_frsize)))
}

#[cfg(not(unix))]
fn room(_: &Path) -> io::Result<Option<u64>> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_for_their_owner_alone_and_as_long_as_was_reserved() {
        let parent = tempfile::tempdir().unwrap();
        let disk = StdDisk::new(parent.path().join("a/b")).unwrap();
        let file = disk.create("x", 100_000).unwrap();
        assert_eq!((file.len().unwrap(), file.is_empty().unwrap()), (100_000, false));
        assert_eq!(disk.create("x", 0).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        file.write_at(99_999, b"abc").unwrap();
        let mut bytes = [9; 8];
        assert_eq!(file.read_at(99_998, &mut bytes).unwrap(), 4);
        assert_eq!(&bytes[..4], b"\0abc");
        file.set_len(7).unwrap();
        file.sync().unwrap();
        disk.rename("x", "y").unwrap();
        disk.sync_dir().unwrap();
        assert_eq!((disk.list().unwrap(), disk.open("y").unwrap().len().unwrap()), (vec!["y".to_owned()], 7));
        assert!(disk.room().unwrap().is_none_or(|room| room > 0));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(disk.path()), mode(&disk.path().join("y"))), (0o700, 0o600));
        }
        disk.remove("y").unwrap();
        assert_eq!(disk.open("y").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(StdDisk::existing(parent.path().join("c")).is_err());
    }

    #[test]
    fn what_cannot_be_reserved_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let disk = StdDisk::new(dir.path()).unwrap();
        // More than any disk has.
        if disk.create("x", 1 << 60).is_err() {
            assert_eq!(disk.list().unwrap(), Vec::<String>::new());
        }
    }
}
