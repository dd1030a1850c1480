use std::collections::BTreeSet;

use postrider_core::secret::KeyId;
use proptest::prelude::*;

use super::*;

const KEY: [u8; 32] = *b"\xa1a vault key of a test, 32 bytes";
const HEX: &str = "a161207661756c74206b6579206f66206120746573742c203332206279746573";
const BASE64: &str = "oWEgdmF1bHQga2V5IG9mIGEgdGVzdCwgMzIgYnl0ZXM=";

fn acme() -> EndpointKey {
    EndpointKey::new("acme").unwrap()
}

fn id(byte: u8) -> KeyId {
    KeyId::from_bytes([byte; 8])
}

fn file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vault.key");
    fs::write(&path, bytes).unwrap();
    (dir, path)
}

fn from(bytes: &[u8]) -> Result<Vault, VaultError> {
    let (_dir, path) = file(bytes);
    Vault::from_file(path)
}

fn ids(vault: &Vault) -> Vec<VaultKeyId> {
    vault.keys().collect()
}

#[test]
fn one_key_has_several_spellings() {
    let wanted = ids(&Vault::from_bytes(&KEY));
    let url_safe = BASE64.replace('+', "-").replace('/', "_");
    let texts = [HEX.to_owned(), HEX.to_uppercase(), format!("{HEX}\n"), format!("  {BASE64}\r\n"), url_safe];
    for text in texts.iter().chain(&[BASE64.trim_end_matches('=').to_owned()]) {
        assert_eq!(ids(&from(text.as_bytes()).unwrap()), wanted, "{text:?}");
    }
    assert_eq!(ids(&from(&KEY).unwrap()), wanted);
    assert_eq!(wanted[0].to_string().len(), 8);
}

#[test]
fn what_is_no_key_says_what_would_be_one() {
    let long = [b'a'; 5000];
    let texts: [&[u8]; 9] =
        [b"", b"\n", b"secret", &KEY[1..], &[7; 33], &HEX.as_bytes()[1..], &BASE64.as_bytes()[4..], &[b'z'; 64], &long];
    for bytes in texts {
        let error = from(bytes).unwrap_err();
        let VaultError::Form { bytes: found, .. } = &error else { panic!("{error:?}") };
        assert_eq!(*found, bytes.len().min(1025));
        let said = error.to_string();
        assert!(said.contains("vault.key holds") && said.contains("64 hexadecimal digits"), "{said}");
    }
    let missing = Vault::from_file("/nowhere/vault.key").unwrap_err().to_string();
    assert_eq!(missing, "the vault key in /nowhere/vault.key cannot be read: entity not found");
    let unset = Vault::from_env("POSTRIDER_TEST_NO_SUCH_VARIABLE").unwrap_err().to_string();
    assert!(unset.starts_with("the environment variable POSTRIDER_TEST_NO_SUCH_VARIABLE is not set"), "{unset}");
    // Every process of a test has a path, which is no key.
    let path = Vault::from_env("PATH").unwrap_err();
    assert!(matches!(&path, VaultError::Form { place, .. } if place == "the environment variable PATH"), "{path}");
    assert!(!path.to_string().contains("/bin"));
}

#[cfg(unix)]
#[test]
fn a_file_that_others_may_read_is_named() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_dir, path) = file(&KEY);
    for (mode, exposed) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true), (0o644, true)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let vault = Vault::from_file(&path).unwrap();
        assert_eq!(vault.exposed().first() == Some(&path), exposed, "{mode:o}");
    }
    let older = Vault::from_file(&path).unwrap();
    assert_eq!(Vault::from_bytes(&[1; 32]).or(older).exposed(), [path]);
}

#[test]
fn a_sealed_secret_opens_in_its_own_place_only() {
    let vault = Vault::from_bytes(&KEY);
    let sealed = vault.seal(&acme(), SecretName::Key(id(1)), b"canary").unwrap();
    assert_eq!(sealed.len(), 6 + SEAL);
    assert!(!sealed.windows(6).any(|window| window == b"canary"));
    assert_eq!(vault.open(&acme(), SecretName::Key(id(1)), &sealed).unwrap().as_slice(), b"canary");

    let tenant = EndpointKey { tenant: postrider_core::id::TenantId::new("a").unwrap(), ..acme() };
    let header = std::str::from_utf8(&[1; 8]).unwrap();
    let elsewhere = [
        (EndpointKey::new("acm").unwrap(), SecretName::Key(id(1))),
        (tenant, SecretName::Key(id(1))),
        (acme(), SecretName::Key(id(2))),
        (acme(), SecretName::Header(header)),
    ];
    for (endpoint, what) in elsewhere {
        let error = vault.open(&endpoint, what, &sealed).unwrap_err();
        assert_eq!(error, SealError::Altered { endpoint, what: what.to_string() });
    }
}

#[test]
fn the_same_secret_is_never_sealed_alike() {
    let vault = Vault::from_bytes(&KEY);
    let sealed = (0..100).map(|_| vault.seal(&acme(), SecretName::Header("authorization"), b"canary").unwrap());
    assert_eq!(sealed.collect::<BTreeSet<_>>().len(), 100);
}

#[test]
fn a_vault_is_rotated() {
    let (old, new) = (Vault::from_bytes(&[1; 32]), Vault::from_bytes(&[2; 32]));
    let before = old.seal(&acme(), SecretName::Key(id(1)), b"canary").unwrap();
    let both = new.clone().or(old.clone());
    assert_eq!(both.open(&acme(), SecretName::Key(id(1)), &before).unwrap().as_slice(), b"canary");
    assert!(old.is_current(&before) && !both.is_current(&before));
    let after = both.seal(&acme(), SecretName::Key(id(1)), b"canary").unwrap();
    assert!(both.is_current(&after));
    assert_eq!(new.open(&acme(), SecretName::Key(id(1)), &after).unwrap().as_slice(), b"canary");

    let error = new.open(&acme(), SecretName::Key(id(1)), &before).unwrap_err();
    let (was, given) = (ids(&old)[0], ids(&new)[0]);
    assert_eq!(
        error.to_string(),
        format!(
            "key_0101010101010101 of endpoint acme was sealed with the vault key {was}, and {given} \
             was given; give that key, as an older one if it has been replaced"
        )
    );
    assert_eq!(ids(&both.clone().or(both)).len(), 2, "a key is held once");
}

#[test]
fn keys_have_no_voice() {
    let vault = Vault::from_bytes(&KEY);
    let shown = format!("{vault:?} {vault:#?}");
    assert!(shown.starts_with("Vault[") && !shown.contains("161"), "{shown}");
}

proptest! {
    #[test]
    fn whatever_is_sealed_comes_back(secret in prop::collection::vec(any::<u8>(), 0..200), name in "[a-z-]{1,20}") {
        let vault = Vault::from_bytes(&KEY);
        let sealed = vault.seal(&acme(), SecretName::Header(&name), &secret).unwrap();
        let opened = vault.open(&acme(), SecretName::Header(&name), &sealed).unwrap();
        prop_assert_eq!(opened.as_slice(), &secret);
    }

    #[test]
    fn no_altered_byte_opens(secret in prop::collection::vec(any::<u8>(), 0..60), at: prop::sample::Index, bit in 0..8_u32) {
        let vault = Vault::from_bytes(&KEY);
        let mut sealed = vault.seal(&acme(), SecretName::Key(id(1)), &secret).unwrap().to_vec();
        let at = at.index(sealed.len());
        sealed[at] ^= 1_u8 << bit;
        prop_assert!(vault.open(&acme(), SecretName::Key(id(1)), &sealed).is_err());
    }

    #[test]
    fn arbitrary_bytes_never_open(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let vault = Vault::from_bytes(&KEY);
        prop_assert!(vault.open(&acme(), SecretName::Key(id(1)), &bytes).is_err());
    }
}
