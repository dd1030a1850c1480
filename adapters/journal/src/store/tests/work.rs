//! What a store does when nothing goes wrong, and when the disk says that something did.

use std::io;

use super::*;
use crate::store::OpenError;
use postrider_core::sender::LoadError;

#[test]
fn what_was_appended_is_replayed_and_loaded() {
    let (disk, options) = (Fake::default(), options(8192));
    let mut store = open(&disk, &options);
    assert_eq!(append(&mut store, &[genesis(), accepted(2, 100)]), Ok(seq(2)));
    for n in 3..60 {
        append(&mut store, &[accepted(n, 900)]).unwrap();
        assert_eq!(store.sync(), Ok(seq(n)));
    }
    append(&mut store, &[ended(3)]).unwrap();
    assert_eq!(store.sync(), Ok(seq(60)));
    let read = |store: &mut Store<Fake>| {
        assert_eq!(store.load(&[seq(3)]).err(), Some(LoadError::Corrupt), "it has ended");
        for n in 4..60 {
            let loaded = store.load(&[seq(n)]).unwrap();
            assert!(
                matches!(&loaded[0], (at, Record::Accepted(event)) if *at == seq(n) && event.payload[0] == n as u8)
            );
        }
    };
    read(&mut store);
    drop(store);
    let mut store = open(&disk, &options);
    assert_eq!(store.found().segments, store.look.segments().count() as u64);
    assert!(store.found().segments > 5);
    assert_eq!((store.found().last, store.found().pending, store.found().torn), (seq(60), 57, 0));
    assert_eq!(replay(&store).iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), (1..=60).collect::<Vec<_>>());
    read(&mut store);
    // It goes on in a segment of its own.
    append(&mut store, &[ended(4)]).unwrap();
    store.sync().unwrap();
    store.close().unwrap();
    assert_eq!(open(&disk, &options).found().pending, 56);
}
