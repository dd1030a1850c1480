//! Invariant: whatever a filter and an event are, reading and asking ends without a panic; a filter read again from its
//! text is the same; and an index answers as the filter does, and is empty again once it is taken out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postrider_core::matching::filter::{Filter, FilterIndex, Flat, Language};

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let (filter, event) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let event = Flat::of(event).unwrap_or_default();
    let text = String::from_utf8_lossy(filter);
    for language in [Language::EventBridge, Language::CloudEvents] {
        let Ok(filter) = Filter::read(language, &text) else { continue };
        assert_eq!(Filter::read(filter.language(), filter.as_str()), Ok(filter.clone()));
        let mut index = FilterIndex::new();
        index.insert(1, &filter);
        assert_eq!(index.matches(&event) == [1], filter.matches(&event));
        assert_eq!(index.remove(1), Some(filter));
        assert!(index.is_empty() && index.matches(&event).is_empty());
    }
});
