//! What salvage could not bring back, in a text file that people read and opening needs.
//!
//! `lost.txt` has one line for each place that was damaged, `lost FIRST LAST SEGMENT OFFSET DAMAGE` (FIRST and LAST are
//! `-` when no record is known to be lost), and one for each event that could be named, `event SEQ TENANT ID`. Its last
//! line, `crc NUMBER`, is the CRC32C of all before it. The records that it names are missing from the log for good:
//! opening does not take their absence for new damage. Without the file, or with one that was edited, it does.

use std::fmt::Write as _;

use bytes::Bytes;
use postrider_core::id::JournalSeq;
use postrider_core::journal::{self, RECORD_CRC, Record};

use super::found::{Corrupt, LostEvent};
use super::{StoreError, names, segments};
use crate::{Disk, File};

/// The text and the ranges that it names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lost {
    lines: Vec<String>,
    /// Ascending, neither adjacent nor overlapping.
    ranges: Vec<(u64, u64)>,
}

impl Lost {
    /// What the file on this disk says; nothing when there is none or it is damaged.
    pub(crate) fn read<D: Disk>(disk: &D) -> Self {
        let read = || {
            let file = disk.open(names::LOST)?;
            let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or(0)];
            let len = file.read_at(0, &mut bytes)?;
            bytes.truncate(len);
            std::io::Result::Ok(bytes)
        };
        let text = read().ok().and_then(|bytes| String::from_utf8(bytes).ok());
        text.and_then(|text| Self::parse(&text)).unwrap_or_default()
    }

    /// Whether all of these records are known to be lost.
    pub(crate) fn covers(&self, first: JournalSeq, last: JournalSeq) -> bool {
        self.ranges.iter().any(|(from, to)| *from <= first.get() && last.get() <= *to)
    }

    /// The ranges that are known to be lost.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (JournalSeq, JournalSeq)> + '_ {
        self.ranges.iter().map(|(first, last)| (JournalSeq::new(*first), JournalSeq::new(*last)))
    }

    /// Adds a place.
    pub(crate) fn add(&mut self, corrupt: &Corrupt) {
        let records = corrupt.range().map_or_else(|| "- -".to_owned(), |all| format!("{} {}", all.start(), all.end()));
        let Corrupt { segment, offset, damage, ids, .. } = corrupt;
        let line = format!("lost {records} {segment} {offset} {}", damage.name());
        if !self.lines.contains(&line) {
            self.lines.push(line);
            self.lines
                .extend(ids.iter().map(|LostEvent { seq, tenant, event }| format!("event {seq} {tenant} {event}")));
        }
        if let Some(all) = corrupt.range() {
            self.ranges.push((*all.start(), *all.end()));
            self.merge();
        }
    }

    /// Writes the file anew: durable when this returns.
    pub(crate) fn write<D: Disk>(&self, disk: &D) -> Result<(), StoreError> {
        let aside = names::aside(names::LOST);
        segments::discard(disk, &aside);
        let text = self.text();
        let file = disk.create(&aside, 0).and_then(|file| file.write_at(0, text.as_bytes()).map(|()| file));
        let file = file.map_err(|error| StoreError::of(&error, "writing", names::LOST))?;
        segments::install(disk, &file, &aside, names::LOST)
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for line in &self.lines {
            text.push_str(line);
            text.push('\n');
        }
        let crc = crc32c::crc32c(text.as_bytes());
        writeln!(text, "crc {crc}").expect("writing to a string does not fail");
        text
    }

    fn parse(text: &str) -> Option<Self> {
        let (body, crc) = text.strip_suffix('\n')?.rsplit_once('\n').map(|(body, crc)| (format!("{body}\n"), crc))?;
        if crc.strip_prefix("crc ")?.parse() != Ok(crc32c::crc32c(body.as_bytes())) {
            return None;
        }
        let mut lost = Self { lines: body.lines().map(str::to_owned).collect(), ranges: Vec::new() };
        for line in body.lines() {
            let mut words = line.split(' ');
            if let (Some("lost"), Some(first), Some(last)) = (words.next(), words.next(), words.next())
                && let (Ok(first), Ok(last)) = (first.parse(), last.parse())
            {
                lost.ranges.push((first, last));
            }
        }
        lost.merge();
        Some(lost)
    }

    fn merge(&mut self) {
        self.ranges.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::with_capacity(self.ranges.len());
        for (first, last) in self.ranges.drain(..).filter(|(first, last)| first <= last) {
            match merged.last_mut().filter(|before| first <= before.1.saturating_add(1)) {
                Some(before) => before.1 = before.1.max(last),
                None => merged.push((first, last)),
            }
        }
        self.ranges = merged;
    }
}

/// The event that an accepted record seems to have been which is not sound any more: `bytes` begin with its checksum.
pub(crate) fn guess(bytes: &Bytes) -> Option<LostEvent> {
    let mut frame = bytes.get(RECORD_CRC..).map(|_| bytes.slice(RECORD_CRC..))?;
    match journal::decode(&mut frame).ok()? {
        (seq, Record::Accepted(accepted)) => Some(LostEvent { seq, tenant: accepted.tenant, event: accepted.id }),
        (_, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::found::Damage;
    use postrider_core::id::{EventId, TenantId};

    fn corrupt(first: u64, last: u64) -> Corrupt {
        let mut corrupt = Corrupt::new(3, 4096, Damage::Records);
        corrupt.records = Some((JournalSeq::new(first), JournalSeq::new(last)));
        corrupt
    }

    #[test]
    fn what_is_written_is_read_and_what_is_edited_is_not() {
        let mut lost = Lost::default();
        let mut named = corrupt(5, 7);
        let (tenant, event) = (TenantId::default(), EventId::new("e5").unwrap());
        named.ids.push(LostEvent { seq: JournalSeq::new(5), tenant, event });
        lost.add(&named);
        lost.add(&corrupt(8, 8));
        lost.add(&Corrupt::new(4, 0, Damage::Missing));
        let text = lost.text();
        assert!(
            text.starts_with(
                "lost 5 7 3 4096 damaged\nevent 5 default e5\nlost 8 8 3 4096 damaged\nlost - - 4 0 missing\ncrc "
            ),
            "{text}"
        );
        assert_eq!(Lost::parse(&text), Some(lost.clone()));
        assert_eq!(lost.ranges().count(), 1, "adjacent ranges are one");
        assert!(
            lost.covers(JournalSeq::new(6), JournalSeq::new(8)) && !lost.covers(JournalSeq::new(8), JournalSeq::new(9))
        );
        assert_eq!(Lost::parse(&text.replace("5 7", "5 9")), None);
        assert_eq!(Lost::parse(""), None);
    }
}
