//! Secrets that an adapter seals: never in the journal as they are, and needed again to restore.

use postrider_core::id::JournalSeq;
use postrider_core::journal::{Frames, Record};
use postrider_core::registration::Endpoint;
use postrider_core::secret::{Secret, SecretName};
use postrider_core::seed::Seed;
use postrider_core::sender::{Config, Input, Output, Restore, RestoreError, Sender};
use postrider_core::time::Now;

const KEY: &[u8] = b"CANARYkeyCANARYkeyCANARYkey";
const VALUE: &str = "Bearer CANARYvalue";

/// Stands for encryption: each byte turned round, with the name in front.
fn turn(name: SecretName<'_>, bytes: &[u8]) -> Vec<u8> {
    let mut sealed = format!("{name}:").into_bytes();
    sealed.extend(bytes.iter().map(|byte| !byte));
    sealed
}

fn turn_back(name: SecretName<'_>, sealed: &[u8]) -> Result<Vec<u8>, String> {
    let body = sealed.strip_prefix(format!("{name}:").as_bytes()).ok_or("sealed under another name")?;
    Ok(body.iter().map(|byte| !byte).collect())
}

/// Everything that the machine wants to write, acknowledged.
fn persisted(sender: &mut Sender) -> Vec<u8> {
    let mut log = Vec::new();
    loop {
        match sender.poll_output() {
            Output::Persist(batch) => {
                log.extend_from_slice(batch.bytes());
                sender.handle(Now::default(), Input::Persisted(batch.last()));
            }
            Output::Wait(_) => return log,
            _ => {}
        }
    }
}

fn records(log: &[u8]) -> Vec<(JournalSeq, Record)> {
    Frames::new(log.to_vec()).map(|record| record.expect("the machine wrote it")).collect()
}

#[test]
fn a_sealed_endpoint_never_leaves_its_secrets_in_the_journal() {
    let mut sender = Sender::new(Config::new(), Seed::from_bytes([7; 32]), Now::default());
    let endpoint = Endpoint::new("acme", "https://acme.example.com/hooks")
        .signing_key(Secret::from_bytes(KEY).expect("27 bytes"))
        .secret_header("authorization", VALUE)
        .seal_with(|name, bytes| Ok::<_, ()>(turn(name, bytes).into()))
        .expect("sealing does not fail");
    sender.put(Now::default(), endpoint).expect("it is sound");
    let log = persisted(&mut sender);
    assert!(!log.windows(6).any(|window| window == b"CANARY"));

    let sealed = records(&log).into_iter().fold(Restore::new(Config::new()), Restore::record).finish(Now::default());
    assert!(matches!(sealed, Err(RestoreError::Sealed { .. })), "{sealed:?}");

    let opened = records(&log).into_iter().map(|(seq, record)| {
        (seq, record.open_with(|_, name, sealed| turn_back(name, sealed)).expect("it was sealed so"))
    });
    let mut restored = opened.fold(Restore::new(Config::new()), Restore::record).finish(Now::default()).expect("whole");
    let key = Endpoint::new("acme", "https://acme.example.com/hooks").key().expect("a name");
    let disabled = restored.pause(Now::default(), &key);
    assert!(disabled.is_ok(), "the endpoint is there");
    let more = persisted(&mut restored);
    let again = records(&more).into_iter().find_map(|(_, record)| match record {
        Record::Endpoint(endpoint) => Some(endpoint),
        _ => None,
    });
    assert!(again.expect("its record").is_sealed(), "a restored machine keeps the sealed form");
    assert!(!more.windows(6).any(|window| window == b"CANARY"));
}
