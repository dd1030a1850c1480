//! The cases that are decided otherwise than they say, by a library or on purpose.

use serde_json::Value;

/// One place where a case is decided otherwise.
#[derive(Debug)]
pub(crate) struct Divergence {
    /// `core`, or the name of a driver.
    place: String,
    id: String,
    /// What comes of it, as a failure would say.
    pub(crate) got: String,
}

/// The list.
#[derive(Debug)]
pub(crate) struct Divergences(Vec<Divergence>);

impl Divergences {
    /// The committed list.
    pub(crate) fn of_the_project() -> Self {
        let entries: Vec<Value> =
            serde_json::from_str(include_str!("../divergences.json")).expect("the committed list is a JSON array");
        Self::read(&entries)
    }

    fn read(entries: &[Value]) -> Self {
        let text = |entry: &Value, name: &str| entry[name].as_str().expect("every field is a text").to_owned();
        let read = |entry| Divergence { place: text(entry, "in"), id: text(entry, "id"), got: text(entry, "got") };
        Self(entries.iter().map(read).collect())
    }

    /// What is known of a case in a place.
    pub(crate) fn find(&self, place: &str, id: &str) -> Option<&Divergence> {
        self.0.iter().find(|known| known.place == place && known.id == id)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::{Verdict, judge};

    /// How many there are. The number may only become smaller.
    const MOST: usize = 1;

    #[test]
    fn the_list_is_whole_and_does_not_grow() {
        let list = Divergences::of_the_project();
        assert!(list.0.len() <= MOST, "{} divergences, and there were {MOST}", list.0.len());
        for (at, entry) in list.0.iter().enumerate() {
            assert!(["core", "tokio", "blocking"].contains(&entry.place.as_str()), "{entry:?}");
            let first = list.0.iter().position(|other| other.place == entry.place && other.id == entry.id);
            assert_eq!(first, Some(at), "{} is there twice", entry.id);
        }
        let entries: Vec<Value> = serde_json::from_str(include_str!("../divergences.json")).unwrap();
        for entry in entries {
            for field in ["expected", "reason"] {
                assert!(entry[field].as_str().is_some_and(|text| !text.is_empty()), "{entry} has no {field}");
            }
        }
    }

    /// A case that `judge` is asked about, with this list.
    fn judged(expected: &str, list: &[Value]) -> Verdict {
        let file = json!([{ "id": "a", "input": { "address": "127.0.0.1" }, "expected": { "class": expected } }]);
        let case = crate::case::read("cases.json", file.to_string().as_bytes()).remove(0).unwrap();
        judge(&case, &mut BTreeMap::new(), &Divergences::read(list))
    }

    #[test]
    fn a_divergence_passes_as_it_is_listed_and_in_no_other_way() {
        let got = r#"{"class":"not_public","reason":"loopback (127.0.0.0/8, RFC 1122)"}"#;
        let entry = |got: &str| [json!({ "in": "core", "id": "a", "got": got })];
        assert!(matches!(judged("not_public", &[]), Verdict::Passed));
        assert!(matches!(judged("public", &entry(got)), Verdict::Listed));
        let failed = |verdict| match verdict {
            Verdict::Failed(failure) => failure.got,
            Verdict::Passed | Verdict::Listed => panic!("it must fail"),
        };
        assert_eq!(failed(judged("public", &[])), got);
        assert_eq!(failed(judged("public", &entry("x"))), format!("{got} (divergences.json says that it is x)"));
        let gone = failed(judged("not_public", &entry(got)));
        assert_eq!(gone, format!("{got}, which passes: remove it from divergences.json"));
        let elsewhere = [json!({ "in": "tokio", "id": "a", "got": got })];
        assert_eq!(failed(judged("public", &elsewhere)), got);
    }
}
