//! Where a store keeps its files: a directory, or whatever stands for one in a test.

use std::io;

/// One flat directory of files. The whole of a store runs above this trait, so that a simulated disk that loses, tears
/// and refuses sees every byte that a real one sees.
///
/// What a name stands for (that a file exists, was renamed or removed) is durable only after
/// [`sync_dir`](Self::sync_dir), what a file holds only after its [`sync`](File::sync). A sync that failed is never
/// repeated by those who use this trait.
pub trait Disk: Send + 'static {
    /// An open file of it.
    type File: File;

    /// The names of all files, in no particular order.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes a file that must not exist, empty, and reserves `size` bytes for it where that can be done; its length
    /// becomes `size`, and what has not been written reads as zeros. [`io::ErrorKind::StorageFull`] when there is no
    /// room.
    fn create(&self, name: &str, size: u64) -> io::Result<Self::File>;

    /// Opens a file that exists, for reading and writing.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Gives a file another name, in place of a file that bears it already.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes names durable: files made, renamed and removed before.
    fn sync_dir(&self) -> io::Result<()>;

    /// Bytes that the disk can still take; `None` when that cannot be known.
    fn room(&self) -> io::Result<Option<u64>>;
}

/// An open file.
pub trait File: Send + Sync + 'static {
    /// Its length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether it has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `into` from `offset` on, and says how many bytes there were: fewer only at the end of the file.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`, beyond the end if need be. After an error any part of it may have been
    /// written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts or lengthens the file.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes durable what was written, and the length.
    fn sync(&self) -> io::Result<()>;
}
