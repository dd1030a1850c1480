//! The bytes of a file, in pages that copies share.

use std::sync::Arc;

const PAGE: usize = 4096;

/// A file's bytes. A clone costs a few pages' names; what was never written reads as zeros and takes no memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Content {
    len: usize,
    pages: Vec<Option<Arc<[u8; PAGE]>>>,
}

impl Content {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut content = Self::default();
        content.write(0, bytes);
        content
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Fills `into` as far as there are bytes; says how many.
    pub(crate) fn read(&self, offset: usize, into: &mut [u8]) -> usize {
        let len = into.len().min(self.len.saturating_sub(offset));
        let mut done = 0;
        while done < len {
            let (page, from) = ((offset + done) / PAGE, (offset + done) % PAGE);
            let piece = (PAGE - from).min(len - done);
            match &self.pages[page] {
                Some(bytes) => into[done..done + piece].copy_from_slice(&bytes[from..from + piece]),
                None => into[done..done + piece].fill(0),
            }
            done += piece;
        }
        len
    }

    pub(crate) fn write(&mut self, offset: usize, bytes: &[u8]) {
        if offset + bytes.len() > self.len {
            self.set_len(offset + bytes.len());
        }
        let mut done = 0;
        while done < bytes.len() {
            let (page, from) = ((offset + done) / PAGE, (offset + done) % PAGE);
            let piece = (PAGE - from).min(bytes.len() - done);
            let into = Arc::make_mut(self.pages[page].get_or_insert_with(|| Arc::new([0; PAGE])));
            into[from..from + piece].copy_from_slice(&bytes[done..done + piece]);
            done += piece;
        }
    }

    pub(crate) fn set_len(&mut self, len: usize) {
        self.pages.resize(len.div_ceil(PAGE), None);
        // What was cut off must not come back when the file grows again.
        if len < self.len
            && !len.is_multiple_of(PAGE)
            && let Some(Some(last)) = self.pages.last_mut()
        {
            Arc::make_mut(last)[len % PAGE..].fill(0);
        }
        self.len = len;
    }

    /// Where the last byte that is not zero ends.
    pub(crate) fn written(&self) -> usize {
        for (at, page) in self.pages.iter().enumerate().rev() {
            if let Some(last) = page.as_ref().and_then(|page| page.iter().rposition(|byte| *byte != 0)) {
                return at * PAGE + last + 1;
            }
        }
        0
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len];
        self.read(0, &mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_what_a_vector_holds() {
        let mut dice = crate::dice::Dice::new(&[1]);
        let (mut content, mut model) = (Content::default(), Vec::new());
        for _ in 0..2000 {
            let (offset, len) = (dice.below(20_000), dice.below(6000));
            if dice.once_in(4) {
                content.set_len(offset);
                model.resize(offset, 0);
            } else {
                let bytes = vec![dice.roll() as u8; len];
                content.write(offset, &bytes);
                model.resize(model.len().max(offset + len), 0);
                model[offset..offset + len].copy_from_slice(&bytes);
            }
            assert_eq!(content.bytes(), model);
            assert_eq!(content.written(), model.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1));
        }
    }
}
