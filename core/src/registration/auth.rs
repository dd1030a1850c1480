//! Credentials that an endpoint asks for: a bearer token, or a name and a password.
//!
//! Both become the secret header `authorization`, so they are sealed, kept and hidden as every secret header is.

use alloc::string::String;
use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{CustomHeaders, HeaderError};

/// The header that credentials go into.
const AUTHORIZATION: &str = "authorization";

/// Longest name and longest password of basic credentials, in bytes.
pub const CREDENTIAL_BYTES: usize = 1024;

/// Why credentials were refused. No text of it contains any of them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthError {
    /// The token is empty.
    NoToken,
    /// The token has a byte that a bearer token may not have, or a `=` before its end (RFC 6750 section 2.1).
    Token {
        /// The place of the byte, counted from 0.
        at: usize,
    },
    /// The token was given with its scheme; `Bearer` is written for it.
    Scheme,
    /// The name has a `:`, which would end it (RFC 7617 section 2).
    Colon {
        /// The place of the colon, counted from 0.
        at: usize,
    },
    /// The name has a control character (RFC 7617 section 2).
    ControlInName {
        /// The place of the character, in bytes from 0.
        at: usize,
    },
    /// The password has a control character (RFC 7617 section 2).
    ControlInPassword {
        /// The place of the character, in bytes from 0.
        at: usize,
    },
    /// The name or the password is too long.
    TooLong {
        /// How many bytes it has.
        len: usize,
        /// How many it may have.
        max: usize,
    },
    /// The header cannot be set.
    Header(HeaderError),
}

impl CustomHeaders {
    /// Adds `authorization: Bearer TOKEN` as a secret header.
    ///
    /// The token is one or more of letters, digits and `-._~+/`, with `=` only at its end (RFC 6750 section 2.1). The
    /// set is unchanged when it is refused.
    pub fn insert_bearer(&mut self, token: &str) -> Result<(), AuthError> {
        check_token(token)?;
        let mut value = Zeroizing::new(String::with_capacity(7 + token.len()));
        value.push_str("Bearer ");
        value.push_str(token);
        self.insert_secret(AUTHORIZATION, &value).map_err(AuthError::Header)
    }

    /// Adds `authorization: Basic ...` as a secret header, with the name and the password in UTF-8.
    ///
    /// Neither has a control character, and the name no `:` (RFC 7617 section 2); either may be empty. The set is
    /// unchanged when they are refused.
    pub fn insert_basic(&mut self, name: &str, password: &str) -> Result<(), AuthError> {
        let max = CREDENTIAL_BYTES;
        if let Some(len) = [name.len(), password.len()].into_iter().find(|len| *len > max) {
            return Err(AuthError::TooLong { len, max });
        }
        let control = |text: &str| text.find(char::is_control);
        if let Some(at) = name.find(':') {
            return Err(AuthError::Colon { at });
        }
        if let Some(at) = control(name) {
            return Err(AuthError::ControlInName { at });
        }
        if let Some(at) = control(password) {
            return Err(AuthError::ControlInPassword { at });
        }
        let mut pair = Zeroizing::new(String::with_capacity(name.len() + 1 + password.len()));
        pair.push_str(name);
        pair.push(':');
        pair.push_str(password);
        let mut value = Zeroizing::new(String::with_capacity(6 + pair.len().div_ceil(3) * 4));
        value.push_str("Basic ");
        STANDARD.encode_string(pair.as_bytes(), &mut value);
        self.insert_secret(AUTHORIZATION, &value).map_err(AuthError::Header)
    }
}

/// Holds a token to `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`.
fn check_token(token: &str) -> Result<(), AuthError> {
    let symbols = token.trim_end_matches('=');
    if token.len() > 7 && token.as_bytes()[..7].eq_ignore_ascii_case(b"bearer ") {
        return Err(AuthError::Scheme);
    }
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte);
    if let Some(at) = symbols.bytes().position(|byte| !allowed(&byte)) {
        return Err(AuthError::Token { at });
    }
    if symbols.is_empty() { Err(AuthError::NoToken) } else { Ok(()) }
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoToken => f.write_str("the bearer token is empty"),
            Self::Token { at } => write!(
                f,
                "the bearer token has a forbidden byte at {at}; letters, digits and -._~+/ are allowed, and = at its end"
            ),
            Self::Scheme => f.write_str("the bearer token begins with `Bearer`; give the token alone"),
            Self::Colon { at } => write!(f, "the user name has a `:` at byte {at}, which would end it"),
            Self::ControlInName { at } => write!(f, "the user name has a control character at byte {at}"),
            Self::ControlInPassword { at } => write!(f, "the password has a control character at byte {at}"),
            Self::TooLong { len, max } => {
                write!(f, "the user name or password has {len} bytes, at most {max} are allowed")
            }
            Self::Header(why) => write!(f, "{why}"),
        }
    }
}

impl core::error::Error for AuthError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;
    use proptest::prelude::*;

    fn value(headers: &CustomHeaders) -> String {
        let (name, value) = headers.iter().next().unwrap();
        assert_eq!(name.as_str(), "authorization");
        assert!(value.is_sensitive());
        value.to_str().unwrap().to_string()
    }

    #[test]
    fn the_examples_of_the_standards() {
        let mut bearer = CustomHeaders::new();
        bearer.insert_bearer("mF_9.B5f-4.1JqM").unwrap();
        assert_eq!(value(&bearer), "Bearer mF_9.B5f-4.1JqM");
        let mut basic = CustomHeaders::new();
        basic.insert_basic("Aladdin", "open sesame").unwrap();
        assert_eq!(value(&basic), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        let mut utf8 = CustomHeaders::new();
        utf8.insert_basic("test", "123\u{a3}").unwrap();
        assert_eq!(value(&utf8), "Basic dGVzdDoxMjPCow==", "RFC 7617 section 2.1");
    }

    #[test]
    fn one_credential_at_a_time() {
        let mut headers = CustomHeaders::new();
        headers.insert_bearer("canary").unwrap();
        let error = headers.insert_basic("a", "canary").unwrap_err();
        assert!(matches!(error, AuthError::Header(HeaderError::Duplicate { .. })), "{error}");
        assert!(!format!("{headers:?} {headers} {error:?}").contains("canary"));
    }

    #[test]
    fn what_would_not_arrive_as_given_is_refused() {
        let bearer = |token: &str| CustomHeaders::new().insert_bearer(token).unwrap_err();
        assert_eq!(bearer(""), AuthError::NoToken);
        assert_eq!(bearer("=="), AuthError::NoToken);
        assert_eq!(bearer("a b"), AuthError::Token { at: 1 });
        assert_eq!(bearer("a=b"), AuthError::Token { at: 1 });
        assert_eq!(bearer("tok\r\nx: y"), AuthError::Token { at: 3 });
        assert_eq!(bearer("bearer abc"), AuthError::Scheme);
        let basic = |name: &str, password: &str| CustomHeaders::new().insert_basic(name, password).unwrap_err();
        assert_eq!(basic("a:b", ""), AuthError::Colon { at: 1 });
        assert_eq!(basic("a\n", ""), AuthError::ControlInName { at: 1 });
        assert_eq!(basic("a", "\u{85}"), AuthError::ControlInPassword { at: 0 });
        assert_eq!(basic(&"a".repeat(1025), ""), AuthError::TooLong { len: 1025, max: 1024 });
        CustomHeaders::new().insert_basic("", "").unwrap();
    }

    proptest! {
        #[test]
        fn accepted_credentials_arrive_as_given(name in ".{0,12}", password in ".{0,12}", token in ".{0,12}") {
            let mut basic = CustomHeaders::new();
            if basic.insert_basic(&name, &password).is_ok() {
                let sent = value(&basic);
                let pair = STANDARD.decode(sent.strip_prefix("Basic ").unwrap()).unwrap();
                let pair = String::from_utf8(pair).unwrap();
                prop_assert_eq!(pair.split_once(':').unwrap(), (&*name, &*password));
            } else {
                prop_assert!(basic.is_empty());
            }
            let mut bearer = CustomHeaders::new();
            if bearer.insert_bearer(&token).is_ok() {
                prop_assert_eq!(value(&bearer), format!("Bearer {token}"));
            } else {
                prop_assert!(bearer.is_empty());
            }
        }
    }
}
