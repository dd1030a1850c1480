//! Attributes as values of headers. Source: CloudEvents 1.0.2, "HTTP Protocol Binding", section 3.1.3.2.

use alloc::string::String;
use alloc::vec::Vec;
use core::iter::Copied;
use core::slice::Iter;

use crate::encoding::{percent, without_percent};

/// The value of an attribute as that of a header: blanks, double quotes, percent signs and everything beyond visible
/// ASCII percent-encoded in UTF-8.
pub fn encode_header_value(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '"' | '%' => percent(c, &mut out),
            '!'..='~' => out.push(c),
            _ => percent(c, &mut out),
        }
    }
    out
}

/// The value of an attribute from that of a header: a quoted string is taken out of its quotes (RFC 9110, section 5.6.4),
/// and percent-encoding is resolved once. `None` when the result is not UTF-8, or a quoted string does not end.
///
/// A percent sign without two hexadecimal digits behind it stands for itself.
pub fn decode_header_value(value: &[u8]) -> Option<String> {
    let plain = match value.trim_ascii().strip_prefix(b"\"") {
        Some(quoted) => unquoted(quoted.iter().copied())?,
        None => value.trim_ascii().to_vec(),
    };
    String::from_utf8(without_percent(plain)).ok()
}

fn unquoted(mut bytes: Copied<Iter<'_, u8>>) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len());
    loop {
        match bytes.next()? {
            b'"' => return bytes.next().is_none().then_some(out),
            b'\\' => out.push(bytes.next()?),
            byte => out.push(byte),
        }
    }
}
