//! Base64 with padding: RFC 4648, section 4.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The text of some bytes.
pub(super) fn encode(bytes: &[u8]) -> String {
    let letters = bytes.chunks(3).flat_map(|chunk| letters(chunk)).map(char::from);
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    text.extend(letters);
    text
}

/// Whether a text is that of some bytes.
pub(super) fn is_of(text: &[u8], bytes: &[u8]) -> bool {
    text.len() == bytes.len().div_ceil(3) * 4
        && text.chunks_exact(4).zip(bytes.chunks(3)).all(|(four, chunk)| four == letters(chunk))
}

/// The four letters of up to three bytes.
fn letters(chunk: &[u8]) -> [u8; 4] {
    let letter = |bits: u32| ALPHABET[(bits & 63) as usize];
    match *chunk {
        [first, second, third] => {
            let bits = u32::from_be_bytes([0, first, second, third]);
            [letter(bits >> 18), letter(bits >> 12), letter(bits >> 6), letter(bits)]
        }
        [first, second] => {
            let bits = u32::from_be_bytes([0, first, second, 0]);
            [letter(bits >> 18), letter(bits >> 12), letter(bits >> 6), b'=']
        }
        [first] => [letter(u32::from(first) >> 2), letter(u32::from(first) << 4), b'=', b'='],
        _ => [b'='; 4],
    }
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
        let secret: Vec<u8> = (0..32).map(|n| n * 37 + 11).collect();
        let text = encode(&secret).into_bytes();
        assert!(is_of(&text, &secret));
        for at in 0..text.len() {
            let mut other = text.clone();
            other[at] ^= 1;
            assert!(!is_of(&other, &secret) && !is_of(&text[..at], &secret), "{at}");
        }
    }
}
