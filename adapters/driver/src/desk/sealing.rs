//! Secrets on their way into the log and out of it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use postrider_core::id::EndpointKey;
use postrider_core::journal::{EndpointRecord, OpenError, Record, StoredKey, StoredValue};
use postrider_core::registration::Endpoint;
use postrider_core::secret::{Secret, SecretName};
use postrider_journal::seal::{SealError, Vault, VaultKeyId};

/// An endpoint whose secrets the log will hold sealed; as it is without a vault, or when it has no valid name. Comes back
/// as an error when the operating system gives no random bytes to seal with.
pub(super) fn seal_endpoint(vault: Option<&Vault>, endpoint: Endpoint) -> Result<Endpoint, Box<Endpoint>> {
    match (vault, endpoint.key()) {
        (Some(vault), Ok(key)) => {
            let sealed = endpoint.clone().seal_with(|name, plain| vault.seal(&key, name, plain));
            sealed.map_err(|_| Box::new(endpoint))
        }
        (None, _) | (_, Err(_)) => Ok(endpoint),
    }
}

/// The same of one key.
pub(super) fn seal_key(vault: Option<&Vault>, endpoint: &EndpointKey, secret: Secret) -> Result<Secret, SealError> {
    let Some(vault) = vault else { return Ok(secret) };
    let sealed = vault.seal(endpoint, SecretName::Key(secret.id()), secret.expose())?;
    Ok(secret.with_sealed(sealed))
}

/// Opens the secrets of records before a machine is restored from them.
///
/// Records are absolute, so only the last one of an endpoint counts: one that cannot be opened, because its vault key was
/// replaced since, does no harm when a later one can.
pub(super) struct Opener<'a> {
    vault: Option<&'a Vault>,
    closed: BTreeMap<EndpointKey, SealError>,
    stale: BTreeSet<EndpointKey>,
}

impl<'a> Opener<'a> {
    pub(super) fn new(vault: Option<&'a Vault>) -> Self {
        Self { vault, closed: BTreeMap::new(), stale: BTreeSet::new() }
    }

    /// The record with its secrets. Secrets that are not sealed with the vault's first key are sealed with it.
    pub(super) fn open(&mut self, record: Record) -> Result<Record, SealError> {
        match record {
            Record::Endpoint(endpoint) => self.open_endpoint(endpoint).map(Record::Endpoint),
            Record::Removed { endpoint, at } => {
                self.closed.remove(&endpoint);
                self.stale.remove(&endpoint);
                Ok(Record::Removed { endpoint, at })
            }
            other => Ok(other),
        }
    }

    /// The endpoints whose secrets stand in the log otherwise than they would be written now. An error for the first
    /// endpoint whose secrets could not be opened.
    pub(super) fn finish(self) -> Result<BTreeSet<EndpointKey>, SealError> {
        self.closed.into_values().next().map_or(Ok(self.stale), Err)
    }

    fn open_endpoint(&mut self, record: Box<EndpointRecord>) -> Result<Box<EndpointRecord>, SealError> {
        let owner = record.key.clone();
        self.closed.remove(&owner);
        self.stale.remove(&owner);
        let mut record = match open(self.vault, &record) {
            Ok(record) => record,
            Err(why) => {
                self.closed.insert(owner, why);
                return Ok(stand_in(record));
            }
        };
        if let Some(vault) = self.vault
            && reseal(vault, &mut record)?
        {
            self.stale.insert(owner);
        }
        Ok(record)
    }
}

fn open(vault: Option<&Vault>, record: &EndpointRecord) -> Result<Box<EndpointRecord>, SealError> {
    let opened = Record::Endpoint(Box::new(record.clone())).open_with(|endpoint, name, sealed| match vault {
        Some(vault) => vault.open(endpoint, name, sealed),
        None => Err(SealError::NoVault {
            endpoint: endpoint.clone(),
            what: name.to_string(),
            sealed_with: VaultKeyId::of_sealed(sealed),
        }),
    });
    match opened {
        Ok(Record::Endpoint(record)) => Ok(record),
        Ok(_) => unreachable!("opening changes no record's kind"),
        Err(OpenError::Refused { why, .. }) => Err(why),
        Err(OpenError::OtherKey { endpoint, key }) => Err(SealError::Altered { endpoint, what: key.to_string() }),
        Err(other) => Err(SealError::Altered { endpoint: record.key.clone(), what: other.to_string() }),
    }
}

/// Seals with the vault's first key what is not; whether there was anything.
fn reseal(vault: &Vault, record: &mut EndpointRecord) -> Result<bool, SealError> {
    let is_stale = |sealed: Option<&Bytes>| sealed.is_none_or(|sealed| !vault.is_current(sealed));
    let (mut any, owner) = (false, &record.key);
    for key in &mut record.keys {
        if let StoredKey::Plain(secret) = &mut key.secret
            && is_stale(secret.sealed())
        {
            *secret = seal_key(Some(vault), owner, secret.clone())?;
            any = true;
        }
    }
    for header in &mut record.headers {
        if let StoredValue::Secret { value, sealed } = &mut header.value
            && is_stale(sealed.as_ref())
        {
            *sealed = Some(vault.seal(owner, SecretName::Header(&header.name), value)?);
            any = true;
        }
    }
    Ok(any)
}

/// What stands for an endpoint until a later record of it can be opened: nothing is ever sent with it.
fn stand_in(mut record: Box<EndpointRecord>) -> Box<EndpointRecord> {
    for key in &mut record.keys {
        if let StoredKey::Sealed { id, .. } = &key.secret {
            let name = id.to_bytes().repeat(4);
            key.secret = StoredKey::Plain(Secret::from_bytes(name).expect("four times 8 bytes are within 24 to 64"));
        }
    }
    for header in &mut record.headers {
        if let StoredValue::Sealed(_) = &header.value {
            header.value = StoredValue::Open(Bytes::new());
        }
    }
    record
}
