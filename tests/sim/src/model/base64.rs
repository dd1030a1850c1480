//! Base64 with padding: RFC 4648, section 4.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The text of some bytes.
pub(super) fn encode(bytes: &[u8]) -> String {
    let letters = bytes.chunks(3).flat_map(letters).map(char::from);
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    text.extend(letters);
    text
}

/// Whether a text is that of some bytes.
pub(super) fn is_of(text: &[u8], bytes: &[u8]) -> bool {
    let (fours, threes) = (text.as_chunks().0, bytes.as_chunks().0);
    text.len() == bytes.len().div_ceil(3) * 4
        && fours.iter().zip(threes).all(|(four, three)| *four == whole(*three))
        && fours[threes.len()..]
            .iter()
            .zip(bytes.chunks(3).skip(threes.len()))
            .all(|(four, rest)| *four == letters(rest))
}

/// The four letters of up to three bytes.
fn letters(chunk: &[u8]) -> [u8; 4] {
    let mut three = [0; 3];
    three[..chunk.len()].copy_from_slice(chunk);
    let mut four = whole(three);
    four[chunk.len() + 1..].fill(b'=');
    four
}

/// The four letters of three bytes.
fn whole([first, second, third]: [u8; 3]) -> [u8; 4] {
    let letter = |bits: u8| ALPHABET[usize::from(bits & 63)];
    [letter(first >> 2), letter(first << 4 | second >> 4), letter(second << 2 | third >> 6), letter(third)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc() {
        for (plain, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(encode(plain.as_bytes()), text);
            assert!(is_of(text.as_bytes(), plain.as_bytes()));
        }
        let secret: [u8; 32] = std::array::from_fn(|n| (n * 37 + 11) as u8);
        let text = encode(&secret).into_bytes();
        assert!(is_of(&text, &secret));
        for at in 0..text.len() {
            let mut other = text.clone();
            other[at] ^= 1;
            assert!(!is_of(&other, &secret) && !is_of(&text[..at], &secret), "{at}");
        }
    }
}
