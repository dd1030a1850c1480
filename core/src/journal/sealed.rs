//! Secrets as the journal holds them: plain, or in a form that only the adapter can open.

use alloc::string::{String, ToString as _};
use bytes::Bytes;
use core::fmt;
use http::HeaderValue;

use super::record::{EndpointRecord, Record};
use crate::id::EndpointKey;
use crate::secret::{KeyId, Secret, SecretName};

/// A signing key as the journal holds it.
#[derive(Clone)]
#[expect(clippy::exhaustive_enums, reason = "plain data of a versioned format")]
pub enum StoredKey {
    /// It is known. Where the secret has a sealed form, that is what is written.
    Plain(Secret),
    /// It is sealed, and known by name only until the adapter opens it.
    Sealed {
        /// The key's name.
        id: KeyId,
        /// The sealed form.
        bytes: Bytes,
    },
}

impl StoredKey {
    /// The key as it will be read back: sealed where it has a sealed form.
    pub fn of(secret: &Secret) -> Self {
        match secret.sealed() {
            Some(bytes) => Self::Sealed { id: secret.id(), bytes: bytes.clone() },
            None => Self::Plain(secret.clone()),
        }
    }

    /// The key's name.
    pub fn id(&self) -> KeyId {
        match self {
            Self::Plain(secret) => secret.id(),
            Self::Sealed { id, .. } => *id,
        }
    }

    /// The key, where it is known.
    pub const fn secret(&self) -> Option<&Secret> {
        match self {
            Self::Plain(secret) => Some(secret),
            Self::Sealed { .. } => None,
        }
    }
}

impl fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(secret) => f.debug_tuple("Plain").field(secret).finish(),
            Self::Sealed { id, .. } => f.debug_struct("Sealed").field("id", id).finish_non_exhaustive(),
        }
    }
}

/// The value of a custom header as the journal holds it.
#[derive(Clone)]
#[expect(clippy::exhaustive_enums, reason = "plain data of a versioned format")]
pub enum StoredValue {
    /// It is no secret.
    Open(Bytes),
    /// It is a secret, and known. Where it has a sealed form, that is what is written.
    Secret {
        /// The value.
        value: Bytes,
        /// Its sealed form.
        sealed: Option<Bytes>,
    },
    /// It is a secret, and not known until the adapter opens its sealed form.
    Sealed(Bytes),
}

impl StoredValue {
    /// A value as it will be read back: sealed where it has a sealed form.
    pub fn of(value: &HeaderValue, sealed: Option<&Bytes>) -> Self {
        match sealed {
            Some(sealed) => Self::Sealed(sealed.clone()),
            None if value.is_sensitive() => {
                Self::Secret { value: Bytes::copy_from_slice(value.as_bytes()), sealed: None }
            }
            None => Self::Open(Bytes::copy_from_slice(value.as_bytes())),
        }
    }
}

impl fmt::Debug for StoredValue {
    /// Without the value, whether it is a secret or not.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open(_) => "Open(..)",
            Self::Secret { .. } => "Secret(..)",
            Self::Sealed(_) => "Sealed(..)",
        })
    }
}

/// Why a record's sealed secrets could not be opened. It quotes none of them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError<E> {
    /// Whoever opens refused.
    Refused {
        /// Whose secret it is.
        endpoint: EndpointKey,
        /// Which: the key's id, or the header's name.
        name: String,
        /// What they said.
        why: E,
    },
    /// What came out is another key than the one that was sealed, or none.
    OtherKey {
        /// Whose key it is.
        endpoint: EndpointKey,
        /// The key that was sealed.
        key: KeyId,
    },
}

impl<E: fmt::Display> fmt::Display for OpenError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { endpoint, name, why } => write!(f, "endpoint {endpoint}: {name} cannot be opened: {why}"),
            Self::OtherKey { endpoint, key } => {
                write!(f, "endpoint {endpoint}: what was sealed as {key} is another key")
            }
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for OpenError<E> {}

impl Record {
    /// The record with its sealed secrets opened: `open` gets the endpoint, which of its secrets it is, and the sealed
    /// bytes, and gives the plain ones. Each keeps its sealed form beside it, so that the record is written as it was
    /// read. A record without sealed secrets comes back as it is.
    ///
    /// For adapters that seal, on every record that goes into [`Restore`](crate::sender::Restore).
    pub fn open_with<P: AsRef<[u8]>, E>(
        mut self,
        mut open: impl FnMut(&EndpointKey, SecretName<'_>, &Bytes) -> Result<P, E>,
    ) -> Result<Self, OpenError<E>> {
        let Self::Endpoint(endpoint) = &mut self else { return Ok(self) };
        let owner = endpoint.key.clone();
        let mut open = |name: SecretName<'_>, sealed: &Bytes| {
            open(&owner, name, sealed).map_err(|why| OpenError::Refused {
                endpoint: owner.clone(),
                name: name.to_string(),
                why,
            })
        };
        for key in &mut endpoint.keys {
            let StoredKey::Sealed { id, bytes } = &key.secret else { continue };
            let plain = open(SecretName::Key(*id), bytes)?;
            let plain = plain.as_ref();
            let forms = [Secret::from_bytes_any_size(plain).ok(), Secret::from_pair_bytes(plain)];
            let opened = forms.into_iter().flatten().find(|secret| secret.id() == *id);
            let opened = opened.ok_or_else(|| OpenError::OtherKey { endpoint: owner.clone(), key: *id })?;
            key.secret = StoredKey::Plain(opened.with_sealed(bytes.clone()));
        }
        for header in &mut endpoint.headers {
            let StoredValue::Sealed(bytes) = &header.value else { continue };
            let plain = open(SecretName::Header(&header.name), bytes)?;
            let value = Bytes::copy_from_slice(plain.as_ref());
            header.value = StoredValue::Secret { value, sealed: Some(bytes.clone()) };
        }
        Ok(self)
    }
}

impl EndpointRecord {
    /// Whether it has sealed secrets that have not been opened.
    pub fn is_sealed(&self) -> bool {
        self.keys.iter().any(|key| key.secret.secret().is_none())
            || self.headers.iter().any(|header| matches!(header.value, StoredValue::Sealed(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{HeaderRecord, KeyRecord, StateRecord, decode, encode};
    use super::*;
    use crate::id::JournalSeq;
    use crate::time::UnixTime;
    use alloc::boxed::Box;
    use alloc::vec::Vec;
    use alloc::{format, vec};
    use bytes::BytesMut;
    use core::time::Duration;

    const KEY: &[u8] = b"CANARYkeyCANARYkeyCANARYkey";
    const VALUE: &[u8] = b"Bearer CANARYvalue";

    /// Nobody's idea of sealing.
    fn mask(name: SecretName<'_>, bytes: &[u8]) -> Vec<u8> {
        let pad = name.to_string();
        bytes.iter().zip(pad.bytes().cycle()).map(|(byte, pad)| byte ^ pad ^ 0x80).collect()
    }

    fn record(secret: StoredKey, value: StoredValue) -> Record {
        Record::Endpoint(Box::new(EndpointRecord {
            key: EndpointKey::new("e").unwrap(),
            url: "https://e.example".into(),
            patterns: vec![],
            encoding: 0,
            schedule: vec![],
            timeout: Duration::ZERO,
            concurrency: 1,
            headers: vec![HeaderRecord { name: "authorization".into(), value }],
            keep_answers: false,
            keys: vec![KeyRecord { secret, expires: None }],
            revoked: vec![],
            state: StateRecord { code: 0, since: UnixTime::EPOCH },
            subscription: None,
            retired: vec![],
            at: UnixTime::EPOCH,
            thin: Vec::new(),
            source: None,
            order: 0,
            cause: None,
            consent: None,
            max_age: None,
            pacing: None,
            filter: None,
            sign: Vec::new(),
            receipts: false,
        }))
    }

    fn sealed() -> (Secret, Record) {
        let secret = Secret::from_bytes(KEY).unwrap();
        let secret = secret.clone().with_sealed(mask(SecretName::Key(secret.id()), KEY).into());
        let value = StoredValue::Sealed(mask(SecretName::Header("authorization"), VALUE).into());
        (secret.clone(), record(StoredKey::of(&secret), value))
    }

    fn frame(record: &Record) -> Bytes {
        let mut out = BytesMut::new();
        encode(JournalSeq::new(1), record, &mut out);
        out.freeze()
    }

    /// Sealed, written, read, opened: the same secrets, and written again the same bytes, in which they never stand.
    #[test]
    fn what_is_sealed_is_written_sealed_for_ever() {
        let (secret, record) = sealed();
        let first = frame(&record);
        assert!(!first.windows(6).any(|window| window == b"CANARY"));
        let (_, read) = decode(&mut first.clone()).unwrap();
        let opened = read.open_with(|endpoint, name, bytes| {
            assert_eq!(endpoint.id.as_str(), "e");
            Ok::<_, ()>(mask(name, bytes))
        });
        let opened = opened.unwrap();
        assert_eq!(frame(&opened), first);
        assert!(!format!("{opened:?} {record:?}").contains("CANARY"));
        let Record::Endpoint(endpoint) = &opened else { panic!("another kind") };
        assert!(!endpoint.is_sealed());
        assert!(endpoint.keys[0].secret.secret().unwrap().same_as(&secret));
        assert!(matches!(&endpoint.headers[0].value, StoredValue::Secret { value, .. } if value == VALUE));
        // A secret that is known and has a sealed form is written in that form too.
        let plain = self::record(StoredKey::Plain(secret), endpoint.headers[0].value.clone());
        assert_eq!(frame(&plain), first);
    }

    #[test]
    fn what_cannot_be_opened_is_told_by_name() {
        let (secret, record) = sealed();
        let Record::Endpoint(endpoint) = &record else { panic!("another kind") };
        assert!(endpoint.is_sealed());
        let refused = record.clone().open_with(|_, _, _| Err::<Vec<u8>, _>("no key for it")).unwrap_err();
        let name = secret.id();
        assert_eq!(refused.to_string(), format!("endpoint e: {name} cannot be opened: no key for it"));
        for wrong in [&b"CANARY, but another"[..], b""] {
            let other = record.clone().open_with(|_, _, _| Ok::<_, &str>(wrong)).unwrap_err();
            assert_eq!(other, OpenError::OtherKey { endpoint: endpoint.key.clone(), key: name });
            assert!(!format!("{other} {other:?}").contains("CANARY"));
        }
    }

    #[test]
    fn other_records_have_nothing_to_open() {
        let ended = Record::Ended { event: JournalSeq::new(1), at: UnixTime::EPOCH };
        let same = ended.clone().open_with(|_, _, _| Err::<Vec<u8>, ()>(())).unwrap();
        assert_eq!(frame(&same), frame(&ended));
    }
}
