//! Ids for what has none.

use std::io;

/// A fresh id: `msg_` and 22 letters and digits, some 130 bits from the operating system.
pub(crate) fn event_id() -> io::Result<String> {
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut id = String::from("msg_");
    while id.len() < 26 {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        // Of 256 values, 4 times 62 are equally many for each letter; the others are thrown again.
        let letters = bytes.iter().filter(|byte| **byte < 248).map(|byte| char::from(LETTERS[usize::from(byte % 62)]));
        let room = 26 - id.len();
        id.extend(letters.take(room));
    }
    Ok(id)
}
