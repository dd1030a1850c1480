//! The index of a sealed segment as a file: pages of 4 KiB, each with its own checksum, read one by one.
//!
//! It is a copy of what the segment says and may be lost; it is bound to the segment by the segment's chain, so that
//! an index from before a compaction is not taken for that of the compacted segment. The first page says what there
//! is, then come the tables, each from a page of its own on, then the texts.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use postrider_core::id::JournalSeq;
use postrider_core::journal::{Chain, SegmentHead, StoreId};
use postrider_core::time::UnixTime;

use super::End;
use super::marks::Marks;
use super::rows::{Row, Rows, Summary, Table};
use super::tables::Tables;
use crate::store::segments::Sealed;
use crate::{File, LogError};

/// Bytes of a page.
pub(super) const PAGE: usize = 4096;
/// Bytes of a page that are not its checksum.
const DATA: usize = PAGE - 4;
const MAGIC: &[u8; 8] = b"PSTRIDX\0";
/// The second counts deliveries that were superseded; an index of another is made anew.
const FORMAT: u16 = 2;

/// The name of an index.
pub(super) fn name(number: u64) -> String {
    format!("{number:010}.idx")
}

/// The name of an index that is being made.
pub(super) fn aside(number: u64) -> String {
    format!("{number:010}.idx.tmp")
}

/// The number of the segment, if this is the name of an index.
pub(super) fn number(file: &str) -> Option<u64> {
    let number = file.strip_suffix(".idx")?.parse().ok()?;
    (name(number) == file).then_some(number)
}

/// What the first page says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) store: StoreId,
    pub(super) sealed: Sealed,
    pub(super) summary: Summary,
    pub(super) marks: Marks,
    counts: [u32; Table::ALL.len()],
    texts: u32,
}

impl Head {
    /// Of `tables`, which are in order and are those of `sealed`.
    pub(super) fn new(store: StoreId, sealed: Sealed, marks: Marks, tables: &Tables) -> Self {
        let texts = u32::try_from(tables.texts().len()).expect("the texts of a segment take less than the segment");
        let counts = Table::ALL.map(|table| tables.count(table));
        Self { store, sealed, summary: tables.summary().clone(), marks, counts, texts }
    }

    /// Whether it is the index of the segment with that header and that length.
    pub(super) fn is_of(&self, head: &SegmentHead, len: u64) -> bool {
        let sealed = &self.sealed;
        self.store == head.store && sealed.head(self.store).encode() == head.encode() && sealed.len == len
    }

    /// How many records of erasures the segment has.
    pub(super) const fn erasures(&self) -> u64 {
        self.counts[Table::Erasures as usize] as u64
    }

    /// How many pages the file has.
    pub(super) fn pages(&self) -> u32 {
        self.first_of_texts() + self.texts.div_ceil(DATA as u32)
    }

    /// The first page of a table.
    fn first_of(&self, table: Table) -> u32 {
        let before = &Table::ALL[..table as usize];
        1 + before.iter().map(|table| self.counts[*table as usize].div_ceil(per_page(*table))).sum::<u32>()
    }

    fn first_of_texts(&self) -> u32 {
        let last = Table::Erasures;
        self.first_of(last) + self.counts[last as usize].div_ceil(per_page(last))
    }

    fn encode(&self) -> Vec<u8> {
        let Self { store, sealed, summary, marks, counts, texts } = self;
        let mut out = Vec::with_capacity(DATA);
        out.extend(MAGIC);
        out.extend(FORMAT.to_le_bytes());
        out.extend(store.to_bytes());
        out.extend(sealed.previous.to_bytes());
        out.extend(sealed.chain.to_bytes());
        out.extend([u8::from(sealed.compacted), u8::from(summary.stray), u8::from(summary.times.is_some())]);
        out.extend(sealed.covers.to_le_bytes());
        let (from, to) = summary.times.unwrap_or_default();
        let numbers = [
            sealed.number,
            sealed.len,
            sealed.first.get(),
            sealed.last.get(),
            summary.base.get(),
            summary.last.get(),
            summary.oldest.get(),
            summary.events,
            summary.payloads,
            from.as_millis(),
            to.as_millis(),
            marks.payloads.as_millis(),
            marks.attempts.as_millis(),
        ];
        numbers.iter().chain(&summary.ends).for_each(|number| out.extend(number.to_le_bytes()));
        counts.iter().chain([texts]).for_each(|count| out.extend(count.to_le_bytes()));
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut r = Fields(bytes);
        let known = r.array::<8>()? == *MAGIC && u16::from_le_bytes(r.array()?) == FORMAT;
        if !known {
            return None;
        }
        let store = StoreId::from_bytes(r.array()?);
        let (previous, chain) = (Chain::from_bytes(r.array()?), Chain::from_bytes(r.array()?));
        let [compacted, stray, timed] = r.array()?.map(|flag: u8| flag != 0);
        let covers = r.u32()?;
        let (number, len, first, last) = (r.u64()?, r.u64()?, r.seq()?, r.seq()?);
        let sealed = Sealed { number, covers, compacted, len, first, last, previous, chain };
        let (base, last, oldest, events, payloads) = (r.seq()?, r.seq()?, r.seq()?, r.u64()?, r.u64()?);
        let times = (r.time()?, r.time()?);
        let times = timed.then_some(times);
        let marks = Marks { payloads: r.time()?, attempts: r.time()? };
        let mut ends = [0; End::ALL.len()];
        for end in &mut ends {
            *end = r.u64()?;
        }
        let summary = Summary { base, last, oldest, ends, events, times, payloads, stray };
        let mut counts = [0; Table::ALL.len()];
        for count in &mut counts {
            *count = r.u32()?;
        }
        Some(Self { store, sealed, summary, marks, counts, texts: r.u32()? })
    }
}

/// How many rows a page holds.
fn per_page(table: Table) -> u32 {
    (DATA / table.width()) as u32
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn seq(&mut self) -> Option<JournalSeq> {
        self.u64().map(JournalSeq::new)
    }

    fn time(&mut self) -> Option<UnixTime> {
        self.u64().map(UnixTime::from_millis)
    }
}

/// The bytes of page `at` of the index that `head` describes.
fn page(head: &Head, tables: &Tables, at: u32) -> [u8; PAGE] {
    let mut out = [0; PAGE];
    let data: &[u8] = if at == 0 {
        &head.encode()
    } else if at >= head.first_of_texts() {
        let from = (at - head.first_of_texts()) as usize * DATA;
        &tables.texts()[from..tables.texts().len().min(from + DATA)]
    } else {
        let table =
            Table::ALL.into_iter().rev().find(|table| head.first_of(*table) <= at && head.counts[*table as usize] > 0);
        let table = table.expect("a page behind the first and before the texts is of a table with rows");
        let bytes = tables.bytes(table);
        let full = per_page(table) as usize * table.width();
        let from = (at - head.first_of(table)) as usize * full;
        &bytes[from..bytes.len().min(from + full)]
    };
    out[..data.len()].copy_from_slice(data);
    let crc = crc(&head.sealed.chain, at, &out[..DATA]);
    out[DATA..].copy_from_slice(&crc.to_le_bytes());
    out
}

/// The checksum of a page; the first page cannot know the chain that it is bound to before it is read.
fn crc(chain: &Chain, at: u32, data: &[u8]) -> u32 {
    let salt = if at == 0 { [0; 16] } else { chain.to_bytes() };
    crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(&salt), &at.to_le_bytes()), data)
}

/// An index on its way to its file.
#[derive(Debug)]
pub(super) struct Writing {
    head: Head,
    at: u32,
}

impl Writing {
    pub(super) const fn new(head: Head) -> Self {
        Self { head, at: 0 }
    }

    /// Bytes of the file.
    pub(super) fn size(&self) -> u64 {
        u64::from(self.head.pages()) * PAGE as u64
    }

    /// Writes at most `pages` pages more; whether they were the last. The file is synced then.
    pub(super) fn step(&mut self, file: &impl File, tables: &Tables, pages: u32) -> io::Result<bool> {
        let to = self.head.pages().min(self.at + pages);
        let bytes: Vec<_> = (self.at..to).map(|at| page(&self.head, tables, at)).collect();
        file.write_at(u64::from(self.at) * PAGE as u64, bytes.as_flattened())?;
        self.at = to;
        let done = to == self.head.pages();
        if done {
            file.sync()?;
        }
        Ok(done)
    }

    /// What the file says of itself.
    pub(super) fn into_head(self) -> Head {
        self.head
    }
}

/// Reads what an index is of; `None` when it is not sound.
pub(super) fn read_head(file: &impl File) -> io::Result<Option<Head>> {
    let mut bytes = [0; PAGE];
    if file.read_at(0, &mut bytes)? < PAGE || !is_sound(&Chain::START, 0, &bytes) {
        return Ok(None);
    }
    let head = Head::decode(&bytes[..DATA]);
    let size = |head: &Head| u64::from(head.pages()) * PAGE as u64;
    let len = file.len()?;
    Ok(head.filter(|head| len >= size(head)))
}

fn is_sound(chain: &Chain, at: u32, bytes: &[u8; PAGE]) -> bool {
    bytes[DATA..] == crc(chain, at, &bytes[..DATA]).to_le_bytes()
}

/// An index in a file. The page of each table that was read last is kept.
pub(super) struct Index<F> {
    head: Arc<Head>,
    file: F,
    cached: [Option<(u32, Box<[u8; PAGE]>)>; Table::ALL.len() + 1],
    bad: bool,
}

impl<F: File> Index<F> {
    pub(super) fn new(head: Arc<Head>, file: F) -> Self {
        Self { head, file, cached: [const { None }; Table::ALL.len() + 1], bad: false }
    }

    /// Page `at`, kept as the page of `slot`.
    fn page(&mut self, slot: usize, at: u32) -> Result<&[u8; PAGE], LogError> {
        if self.cached[slot].as_ref().is_none_or(|(cached, _)| *cached != at) {
            let mut bytes = self.cached[slot].take().map_or_else(|| Box::new([0; PAGE]), |(_, bytes)| bytes);
            let read =
                self.file.read_at(u64::from(at) * PAGE as u64, &mut *bytes).map_err(|error| self.failed(&error))?;
            if read < PAGE || !is_sound(&self.head.sealed.chain, at, &bytes) {
                return Err(self.damaged(at));
            }
            self.cached[slot] = Some((at, bytes));
        }
        let (_, bytes) = self.cached[slot].as_ref().expect("it was read if it was not there");
        Ok(bytes)
    }

    fn failed(&self, error: &io::Error) -> LogError {
        LogError::Io { doing: format!("reading {}", name(self.head.sealed.number)), kind: error.kind() }
    }

    /// Whether a page was not what was written.
    pub(super) const fn is_bad(&self) -> bool {
        self.bad
    }

    fn damaged(&mut self, at: u32) -> LogError {
        self.bad = true;
        LogError::Damaged {
            place: format!("in page {at} of {}", name(self.head.sealed.number)),
            why: "the page is not what was written".to_owned(),
        }
    }

    fn text_bytes(&mut self, at: u32, len: usize) -> Result<Vec<u8>, LogError> {
        let mut out = Vec::with_capacity(len);
        let mut at = at as usize;
        let first = self.head.first_of_texts();
        while out.len() < len {
            let page = first + (at / DATA) as u32;
            if page >= self.head.pages() {
                return Err(self.damaged(page));
            }
            let bytes = self.page(Table::ALL.len(), page)?;
            let part = &bytes[at % DATA..DATA.min(at % DATA + len - out.len())];
            out.extend_from_slice(part);
            at += part.len();
        }
        Ok(out)
    }
}

impl<F: File> Rows for Index<F> {
    fn summary(&self) -> &Summary {
        &self.head.summary
    }

    fn count(&self, table: Table) -> u32 {
        self.head.counts[table as usize]
    }

    fn row(&mut self, table: Table, at: u32) -> Result<Row, LogError> {
        debug_assert!(at < self.count(table), "rows are asked for below the count");
        let page = self.head.first_of(table) + at / per_page(table);
        let from = (at % per_page(table)) as usize * table.width();
        let bytes = self.page(table as usize, page)?;
        Ok(Row::new(&bytes[from..from + table.width()]))
    }

    fn text(&mut self, at: u32) -> Result<Cow<'_, str>, LogError> {
        let len = self.text_bytes(at, 2)?;
        let len = usize::from(u16::from_be_bytes([len[0], len[1]]));
        let text = self.text_bytes(at.saturating_add(2), len)?;
        let first = self.head.first_of_texts();
        String::from_utf8(text).map(Cow::Owned).map_err(|_| self.damaged(first))
    }
}
