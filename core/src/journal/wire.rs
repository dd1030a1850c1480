//! The fields that bodies are made of, written and read.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::{BufMut, BytesMut};
use core::time::Duration;

use super::error::{CodecError, Why};
use crate::id::JournalSeq;
use crate::time::UnixTime;

/// Appends fields to a buffer.
pub(crate) struct Writer<'a> {
    out: &'a mut BytesMut,
}

impl<'a> Writer<'a> {
    pub(crate) const fn new(out: &'a mut BytesMut) -> Self {
        Self { out }
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.out.put_u8(value);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.out.put_u16_le(value);
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.out.put_u32_le(value);
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.out.put_u64_le(value);
    }

    /// Bytes whose number is known to the reader.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.out.put_slice(bytes);
    }

    pub(crate) fn seq(&mut self, seq: JournalSeq) {
        self.u64(seq.get());
    }

    pub(crate) fn time(&mut self, time: UnixTime) {
        self.u64(time.as_millis());
    }

    pub(crate) fn duration(&mut self, duration: Duration) {
        self.u64(nanos(duration));
    }

    pub(crate) fn flag(&mut self, flag: bool) {
        self.u8(u8::from(flag));
    }

    /// A flag, and the value if there is one.
    pub(crate) fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.flag(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }

    /// At most 65,535 bytes, after their number.
    pub(crate) fn short(&mut self, bytes: &[u8]) {
        self.u16(u16::try_from(bytes.len()).expect("limits keep short fields below 64 KiB"));
        self.raw(bytes);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.short(text.as_bytes());
    }

    /// At most 4 GiB, after their number.
    pub(crate) fn long(&mut self, bytes: &[u8]) {
        self.u32(u32::try_from(bytes.len()).expect("limits keep payloads below 4 GiB"));
        self.raw(bytes);
    }

    /// At most `max` items of a list, after their number in a `u16`.
    pub(crate) fn few<T>(&mut self, items: &[T], max: u16, mut write: impl FnMut(&mut Self, &T)) {
        let count = u16::try_from(items.len()).ok().filter(|count| *count <= max);
        self.u16(count.expect("limits keep lists below what the format can hold"));
        items.iter().for_each(|item| write(self, item));
    }

    /// The items of a list, after their number in a `u32`.
    pub(crate) fn many<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.u32(u32::try_from(items.len()).expect("limits keep records below 4 GiB"));
        items.iter().for_each(|item| write(self, item));
    }
}

/// Takes fields from a frame, each under the name that an error will give it.
pub(crate) struct Reader<'a> {
    frame: &'a [u8],
    at: usize,
}

type Read<T> = Result<T, CodecError>;

impl<'a> Reader<'a> {
    /// Reads `frame` from byte `at` on, which is not after its end.
    pub(crate) const fn new(frame: &'a [u8], at: usize) -> Self {
        Self { frame, at }
    }

    /// Where the next field begins.
    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    /// Whether nothing is left.
    pub(crate) const fn is_over(&self) -> bool {
        self.at == self.frame.len()
    }

    /// Makes sure that nothing is left.
    pub(crate) fn end(&self) -> Read<()> {
        match self.left().len() {
            0 => Ok(()),
            left => Err(self.fail(Why::Trailing { left })),
        }
    }

    pub(crate) fn u8(&mut self, field: &'static str) -> Read<u8> {
        Ok(u8::from_le_bytes(self.array(field)?))
    }

    pub(crate) fn u16(&mut self, field: &'static str) -> Read<u16> {
        Ok(u16::from_le_bytes(self.array(field)?))
    }

    pub(crate) fn u32(&mut self, field: &'static str) -> Read<u32> {
        Ok(u32::from_le_bytes(self.array(field)?))
    }

    pub(crate) fn u64(&mut self, field: &'static str) -> Read<u64> {
        Ok(u64::from_le_bytes(self.array(field)?))
    }

    pub(crate) fn array<const N: usize>(&mut self, field: &'static str) -> Read<[u8; N]> {
        let Some(bytes) = self.left().first_chunk() else {
            return Err(self.cut(field, N));
        };
        self.at += N;
        Ok(*bytes)
    }

    pub(crate) fn raw(&mut self, field: &'static str, len: usize) -> Read<&'a [u8]> {
        let Some(bytes) = self.left().get(..len) else {
            return Err(self.cut(field, len));
        };
        self.at += len;
        Ok(bytes)
    }

    pub(crate) fn seq(&mut self, field: &'static str) -> Read<JournalSeq> {
        self.u64(field).map(JournalSeq::new)
    }

    pub(crate) fn time(&mut self, field: &'static str) -> Read<UnixTime> {
        self.u64(field).map(UnixTime::from_millis)
    }

    pub(crate) fn duration(&mut self, field: &'static str) -> Read<Duration> {
        self.u64(field).map(Duration::from_nanos)
    }

    pub(crate) fn flag(&mut self, field: &'static str) -> Read<bool> {
        self.checked(|r| match r.u8(field)? {
            0 => Ok(Ok(false)),
            1 => Ok(Ok(true)),
            byte => Ok(Err(Why::Flag { field, byte })),
        })
    }

    pub(crate) fn option<T>(
        &mut self,
        field: &'static str,
        read: impl FnOnce(&mut Self) -> Read<T>,
    ) -> Read<Option<T>> {
        Ok(if self.flag(field)? { Some(read(self)?) } else { None })
    }

    pub(crate) fn short(&mut self, field: &'static str) -> Read<&'a [u8]> {
        let len = self.u16(field)?;
        self.raw(field, usize::from(len))
    }

    pub(crate) fn text(&mut self, field: &'static str) -> Read<&'a str> {
        self.checked(|r| Ok(core::str::from_utf8(r.short(field)?).map_err(|_| Why::Text { field })))
    }

    pub(crate) fn string(&mut self, field: &'static str) -> Read<String> {
        self.text(field).map(String::from)
    }

    pub(crate) fn shared(&mut self, field: &'static str) -> Read<Arc<str>> {
        self.text(field).map(Arc::from)
    }

    pub(crate) fn long(&mut self, field: &'static str) -> Read<&'a [u8]> {
        let len = self.u32(field)?;
        self.raw(field, usize::try_from(len).unwrap_or(usize::MAX))
    }

    /// Text written by [`Writer::long`].
    pub(crate) fn long_text(&mut self, field: &'static str) -> Read<String> {
        self.checked(|r| Ok(core::str::from_utf8(r.long(field)?).map(String::from).map_err(|_| Why::Text { field })))
    }

    /// A list written by [`Writer::few`], each item of which has at least `least` bytes.
    pub(crate) fn few<T>(
        &mut self,
        field: &'static str,
        max: u16,
        least: usize,
        read: impl FnMut(&mut Self) -> Read<T>,
    ) -> Read<Vec<T>> {
        let count = self.checked(|r| {
            let count = r.u16(field)?;
            Ok(if count <= max { Ok(count) } else { Err(Why::Many { field, count: count.into(), max: max.into() }) })
        })?;
        self.items(field, usize::from(count), least, read)
    }

    /// A list written by [`Writer::many`], each item of which has `size` bytes, and at most twice as many in memory.
    pub(crate) fn many<T>(
        &mut self,
        field: &'static str,
        size: usize,
        read: impl FnMut(&mut Self) -> Read<T>,
    ) -> Read<Vec<T>> {
        let count = usize::try_from(self.u32(field)?).unwrap_or(usize::MAX);
        self.items(field, count, size, read)
    }

    /// Reads a value and judges it; an error stands where the value begins.
    pub(crate) fn checked<T>(&mut self, read: impl FnOnce(&mut Self) -> Read<Result<T, Why>>) -> Read<T> {
        let at = self.at;
        read(self)?.map_err(|why| CodecError::new(at, why))
    }

    /// Items, for which memory is taken once there are bytes enough for that many.
    fn items<T>(
        &mut self,
        field: &'static str,
        count: usize,
        least: usize,
        mut read: impl FnMut(&mut Self) -> Read<T>,
    ) -> Read<Vec<T>> {
        let need = count.saturating_mul(least);
        if need > self.left().len() {
            return Err(self.cut(field, need));
        }
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(read(self)?);
        }
        Ok(items)
    }

    fn left(&self) -> &'a [u8] {
        &self.frame[self.at..]
    }

    fn cut(&self, field: &'static str, need: usize) -> CodecError {
        self.fail(Why::Cut { field, need, left: self.left().len() })
    }

    const fn fail(&self, why: Why) -> CodecError {
        CodecError::new(self.at, why)
    }
}

/// Nanoseconds of a duration; what is beyond 584 years is cut.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
