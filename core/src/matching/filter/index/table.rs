//! Who waits for which values of one field.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::borrow::Borrow;

use super::super::clause::{Bound, Clause, Test};
use super::super::flat::Value;
use super::super::network::Network;
use super::super::number::Number;
use super::entries::{Entries, Entry};
use super::ranges::{Around, Ranges};

/// The entries of one field by what they wait for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    texts: BTreeMap<Box<str>, Entries>,
    folded: BTreeMap<Box<str>, Entries>,
    numbers: BTreeMap<Number, Entries>,
    words: BTreeMap<Word, Entries>,
    prefixes: Lengths<Box<str>>,
    suffixes: Lengths<Box<str>>,
    networks: Lengths<Network>,
    ranges: Ranges,
    /// Those that are asked for every value.
    others: Entries,
}

/// Entries by keys that are looked up in each length that there is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Lengths<K> {
    entries: BTreeMap<K, Entries>,
    /// How many keys there are of each length.
    lengths: BTreeMap<usize, usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Word {
    Null,
    True,
    False,
}

/// What a value must be at least for an alternative to pass.
#[derive(Clone, Debug)]
enum Key<'a> {
    Text(&'a str),
    Folded(Box<str>),
    Number(&'a Number),
    Word(Word),
    Prefix(&'a str),
    Suffix(&'a str),
    Network(Network),
    Range(u64, u64),
    Other,
}

/// What is found for the values of an event: lists whole, and ranges in part.
#[derive(Default)]
pub(super) struct Found<'a> {
    lists: Vec<&'a Entries>,
    around: Vec<Around<'a>>,
}

impl Table {
    pub(super) fn add(&mut self, clause: &Clause, entry: Entry) {
        for key in keys(clause) {
            match key {
                Key::Text(text) => put(&mut self.texts, text, |text| text.into(), entry),
                Key::Folded(text) => put(&mut self.folded, &*text, |text| text.into(), entry),
                Key::Number(number) => put(&mut self.numbers, number, Clone::clone, entry),
                Key::Word(word) => put(&mut self.words, &word, |word| *word, entry),
                Key::Prefix(text) => self.prefixes.add(text, |text| text.into(), text.len(), entry),
                Key::Suffix(text) => self.suffixes.add(text, |text| text.into(), text.len(), entry),
                Key::Network(network) => self.networks.add(&network, |network| *network, network.len().into(), entry),
                Key::Range(low, high) => drop(self.ranges.add(low..=high, entry)),
                Key::Other => drop(self.others.add(entry)),
            }
        }
    }

    pub(super) fn remove(&mut self, clause: &Clause, entry: Entry) {
        for key in keys(clause) {
            match key {
                Key::Text(text) => drop(take(&mut self.texts, text, entry)),
                Key::Folded(text) => drop(take(&mut self.folded, &*text, entry)),
                Key::Number(number) => drop(take(&mut self.numbers, number, entry)),
                Key::Word(word) => drop(take(&mut self.words, &word, entry)),
                Key::Prefix(text) => self.prefixes.remove(text, text.len(), entry),
                Key::Suffix(text) => self.suffixes.remove(text, text.len(), entry),
                Key::Network(network) => self.networks.remove(&network, network.len().into(), entry),
                Key::Range(low, high) => drop(self.ranges.remove(low..=high, entry)),
                Key::Other => drop(self.others.remove(entry)),
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        let Self { texts, folded, numbers, words, prefixes, suffixes, networks, ranges, others } = self;
        texts.is_empty()
            && folded.is_empty()
            && numbers.is_empty()
            && words.is_empty()
            && prefixes.entries.is_empty()
            && suffixes.entries.is_empty()
            && networks.entries.is_empty()
            && ranges.is_empty()
            && others.len() == 0
    }

    /// About how many entries an event would bring up in vain if the clause waited here: those that wait for the same,
    /// and more for what more values are likely to be. The lowest is the best place to wait.
    pub(super) fn cost(&self, clause: &Clause) -> usize {
        let len = |entries: Option<&Entries>| entries.map_or(0, Entries::len);
        let each = keys(clause).map(|key| match key {
            Key::Text(text) => 1 + len(self.texts.get(text)),
            Key::Number(number) => 1 + len(self.numbers.get(number)),
            Key::Folded(text) => 1 + len(self.folded.get(&*text)),
            Key::Network(network) => 2 + len(self.networks.entries.get(&network)),
            Key::Prefix(text) => 4 + len(self.prefixes.entries.get(text)),
            Key::Suffix(text) => 4 + len(self.suffixes.entries.get(text)),
            Key::Range(low, high) => 4 + self.ranges.crowd(if low == 0 { high } else { low }),
            Key::Word(word) => 8 + len(self.words.get(&word)),
            Key::Other => 32 + self.others.len(),
        });
        let count = clause.texts.len() + clause.tests.len();
        each.max().unwrap_or(0) + count / 8
    }

    /// Finds who waits for one of the values.
    pub(super) fn find<'a>(&'a self, values: impl Iterator<Item = Value<'a>>, found: &mut Found<'a>) {
        let mut some = false;
        for value in values {
            some = true;
            match value {
                Value::Null => found.lists.extend(self.words.get(&Word::Null)),
                Value::True => found.lists.extend(self.words.get(&Word::True)),
                Value::False => found.lists.extend(self.words.get(&Word::False)),
                Value::Number(number) => {
                    found.lists.extend(self.numbers.get(number));
                    found.around.extend(self.ranges.around(number.rank()));
                }
                Value::Text(text) => self.find_text(text, found),
            }
        }
        if some {
            found.lists.push(&self.others);
        }
    }

    fn find_text<'a>(&'a self, text: &str, found: &mut Found<'a>) {
        found.lists.extend(self.texts.get(text));
        if !self.folded.is_empty() && text.is_ascii() {
            let small = if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
                Cow::Owned(text.to_ascii_lowercase())
            } else {
                Cow::Borrowed(text)
            };
            found.lists.extend(self.folded.get(&*small));
        }
        found.lists.extend(self.prefixes.each(text.len(), |len| text.get(..len)));
        found.lists.extend(self.suffixes.each(text.len(), |len| text.get(text.len() - len..)));
        if !self.networks.entries.is_empty()
            && let Some(address) = Network::address(text)
        {
            for len in self.networks.lengths.keys().filter(|len| **len <= usize::from(address.len())) {
                found.lists.extend(self.networks.entries.get(&address.wider(*len as u8)));
            }
        }
    }
}

impl Found<'_> {
    /// All that was found, in ascending order and each once. Lists found for several values are read once.
    pub(super) fn entries(mut self) -> Vec<Entry> {
        let address = |list: &&Entries| core::ptr::from_ref(*list).addr();
        self.lists.sort_unstable_by_key(address);
        self.lists.dedup_by_key(|list| address(list));
        let node = |around: &Around<'_>| (core::ptr::from_ref(around.node).addr(), around.upper);
        // Of several ranks in the lower half of a node the highest finds all that the others find, and so on.
        self.around.sort_unstable_by_key(|around| {
            (node(around), if around.upper { around.rank } else { u64::MAX - around.rank })
        });
        self.around.dedup_by_key(|around| node(around));
        let lists = self.lists.into_iter().flat_map(Entries::iter);
        let mut entries: Vec<Entry> = lists.chain(self.around.into_iter().flat_map(Around::iter)).collect();
        entries.sort_unstable();
        entries.dedup();
        entries
    }
}

impl<K: Ord> Lengths<K> {
    fn add<Q: Ord + ?Sized>(&mut self, key: &Q, own: fn(&Q) -> K, len: usize, entry: Entry)
    where
        K: Borrow<Q>,
    {
        if !self.entries.contains_key(key) {
            *self.lengths.entry(len).or_default() += 1;
        }
        put(&mut self.entries, key, own, entry);
    }

    fn remove<Q: Ord + ?Sized>(&mut self, key: &Q, len: usize, entry: Entry)
    where
        K: Borrow<Q>,
    {
        if take(&mut self.entries, key, entry) {
            let count = self.lengths.get_mut(&len).expect("a key is counted by its length");
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&len);
            }
        }
    }

    /// The entries under the part of each length that there is, up to `max`.
    fn each<'a, 't, Q: Ord + ?Sized + 't>(
        &'a self,
        max: usize,
        part: impl Fn(usize) -> Option<&'t Q>,
    ) -> impl Iterator<Item = &'a Entries>
    where
        K: Borrow<Q>,
    {
        self.lengths.range(..=max).filter_map(move |(len, _)| self.entries.get(part(*len)?))
    }
}

impl<K> Default for Lengths<K> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), lengths: BTreeMap::new() }
    }
}

/// What each alternative of a clause waits for.
fn keys(clause: &Clause) -> impl Iterator<Item = Key<'_>> {
    let texts = clause.texts.iter().map(|text| Key::Text(text));
    texts.chain(clause.tests.iter().map(|test| match test {
        Test::Null => Key::Word(Word::Null),
        Test::True => Key::Word(Word::True),
        Test::False => Key::Word(Word::False),
        Test::Number(number) => Key::Number(number),
        Test::Within(bounds) => {
            let rank = |bound: &Option<Bound>, none| bound.as_ref().map_or(none, |bound| bound.at.rank());
            Key::Range(rank(&bounds.low, 0), rank(&bounds.high, u64::MAX))
        }
        Test::Prefix(text) if !text.is_empty() => Key::Prefix(text),
        Test::Suffix(text) if !text.is_empty() => Key::Suffix(text),
        Test::Wildcard(wildcard) if !wildcard.head().is_empty() => Key::Prefix(wildcard.head()),
        Test::Wildcard(wildcard) if !wildcard.tail().is_empty() => Key::Suffix(wildcard.tail()),
        Test::Folded(text) => text.ascii().map_or(Key::Other, |small| Key::Folded(small.into())),
        Test::Network(network) => Key::Network(**network),
        Test::Type(pattern) => {
            // The names before the first wildcard, without the dot behind them, which `**` does not need.
            let head = pattern.as_str().split('*').next().unwrap_or_default();
            if head.is_empty() { Key::Other } else { Key::Prefix(&head[..head.len() - 1]) }
        }
        Test::Exists
        | Test::Prefix(_)
        | Test::Suffix(_)
        | Test::FoldedPrefix(_)
        | Test::FoldedSuffix(_)
        | Test::Wildcard(_)
        | Test::But(_) => Key::Other,
    }))
}

fn put<K: Ord + Borrow<Q>, Q: Ord + ?Sized>(
    entries: &mut BTreeMap<K, Entries>,
    key: &Q,
    own: fn(&Q) -> K,
    entry: Entry,
) {
    match entries.get_mut(key) {
        Some(entries) => drop(entries.add(entry)),
        None => drop(entries.insert(own(key), Entries::One(entry))),
    }
}

/// Takes an entry out again, and its key with the last one: returns whether that happened.
fn take<K: Ord + Borrow<Q>, Q: Ord + ?Sized>(entries: &mut BTreeMap<K, Entries>, key: &Q, entry: Entry) -> bool {
    let Some(found) = entries.get_mut(key) else { return false };
    found.remove(entry);
    let empty = found.len() == 0;
    if empty {
        entries.remove(key);
    }
    empty
}
