//! Ids of many events, without a heap entry for each.

use alloc::vec::Vec;

/// Places have a multiple of so many bytes.
const STEP: usize = 8;

/// Texts of 1 to 256 bytes, each in a place of its size: a byte for its length, its bytes, and less than 8 more. A freed
/// place is used again for a text of the same size.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    sizes: Vec<Size>,
}

/// All texts of one size.
#[derive(Debug, Default)]
struct Size {
    bytes: Vec<u8>,
    free: Vec<u32>,
}

impl Texts {
    /// Keeps a text: the number of its place, and the size of that, which names it together.
    pub(crate) fn insert(&mut self, text: &str) -> (u32, u8) {
        let size = text.len() / STEP;
        let stride = (size + 1) * STEP;
        if size >= self.sizes.len() {
            self.sizes.resize_with(size + 1, Size::default);
        }
        let Size { bytes, free } = &mut self.sizes[size];
        let at = free.pop().unwrap_or_else(|| {
            let at = bytes.len() / stride;
            bytes.resize(bytes.len() + stride, 0);
            u32::try_from(at).expect("limits keep events below 2^32")
        });
        let place = &mut bytes[at as usize * stride..][..stride];
        place[0] = u8::try_from(text.len() - 1).expect("an id has 1 to 256 bytes");
        place[1..=text.len()].copy_from_slice(text.as_bytes());
        (at, size as u8)
    }

    /// The text in a place.
    pub(crate) fn get(&self, place: (u32, u8)) -> &str {
        core::str::from_utf8(self.bytes(place)).expect("a text was put here")
    }

    /// The bytes of the text in a place.
    pub(crate) fn bytes(&self, (at, size): (u32, u8)) -> &[u8] {
        let stride = (usize::from(size) + 1) * STEP;
        let place = &self.sizes[usize::from(size)].bytes[at as usize * stride..][..stride];
        &place[1..=usize::from(place[0]) + 1]
    }

    /// Frees a place.
    pub(crate) fn remove(&mut self, (at, size): (u32, u8)) {
        self.sizes[usize::from(size)].free.push(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    #[test]
    fn every_length_is_kept_and_places_are_used_again() {
        let mut texts = Texts::default();
        let text = |len: usize, fill: &str| fill.repeat(len);
        let places: Vec<_> = (1..=256).map(|len| texts.insert(&text(len, "a"))).collect();
        let kept: Vec<String> = places.iter().map(|place| texts.get(*place).into()).collect();
        assert!((1..=256).all(|len| kept[len - 1] == text(len, "a")));
        texts.remove(places[9]);
        let again = texts.insert(&text(12, "b"));
        assert_eq!(again, places[9], "10 and 12 bytes have the same size");
        assert_eq!((texts.get(again), texts.get(places[10])), (&*text(12, "b"), &*text(11, "a")));
    }
}
