use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};

use proptest::prelude::*;

use super::*;

fn of(patterns: &[&str]) -> Subscription {
    Subscription::parse(patterns).unwrap()
}

fn stream(index: &Index, cursor: &mut Cursor) -> Vec<u32> {
    core::iter::from_fn(|| index.next(cursor)).collect()
}

#[test]
fn each_number_is_given_once_in_order_below_the_high_water() {
    let mut index = Index::new();
    for number in 0..100 {
        index.insert(number, &of(&[["order.*", "**.paid", "order.paid"][number as usize % 3], "**"]));
    }
    let mut cursor = index.cursor("order.paid", 90);
    assert_eq!(cursor.at(), None);
    assert_eq!(stream(&index, &mut cursor), (0..90).collect::<Vec<_>>());
    assert_eq!((cursor.at(), cursor.high_water(), index.next(&mut cursor)), (Some(89), 90, None));

    cursor.seek_after(70);
    assert_eq!(cursor.at(), Some(70));
    assert_eq!(stream(&index, &mut cursor), (71..90).collect::<Vec<_>>());
    assert_eq!(stream(&index, &mut index.cursor("order.", 90)), [0; 0]);
}

#[test]
fn more_lists_than_fit_inline_make_the_same_stream() {
    let patterns = ["a.b.c", "*.b.c", "a.*.c", "a.b.*", "**", "**.c", "a.**", "a.**.c", "*.*.*"];
    let mut index = Index::new();
    for number in 0..90_u32 {
        let at = number as usize;
        index.insert(number, &of(&[patterns[at % 9], patterns[at / 9 % 9]]));
    }
    assert_eq!(index.resolve("a.b.c").len(), patterns.len());
    let mut cursor = index.cursor("a.b.c", u32::MAX);
    assert_eq!(stream(&index, &mut cursor), (0..90).collect::<Vec<_>>());
}

#[test]
fn a_cursor_outlives_compaction_and_reuse() {
    let mut index = Index::new();
    let (orders, users) = (of(&["order.*"]), of(&["user.*"]));
    (0..10).for_each(|number| index.insert(number, &orders));
    let mut cursor = index.cursor("order.paid", u32::MAX);
    let mut late = cursor.clone();
    assert_eq!(cursor.high_water(), 10, "later numbers are out of reach from the start");
    assert_eq!((0..4).map(|_| index.next(&mut cursor).unwrap()).collect::<Vec<_>>(), [0, 1, 2, 3]);

    (0..8).for_each(|number| assert!(index.remove(number, &orders)));
    assert_eq!(index.next(&mut cursor), Some(8), "found by number after the list was compacted");
    (8..10).for_each(|number| assert!(index.remove(number, &orders)));
    assert!(index.is_empty());
    assert_eq!((index.trie.used(), index.lists.used()), (1, 0), "only the root is left");

    (10..30).for_each(|number| index.insert(number, &users));
    assert_eq!(index.lists.used(), 1);
    assert_eq!((index.next(&mut cursor), index.next(&mut late)), (None, None), "the list now serves another pattern");
    assert_eq!(stream(&index, &mut index.cursor("user.made", 20)), (10..20).collect::<Vec<_>>());
}

#[test]
fn removing_what_is_not_there_changes_nothing() {
    let mut index = Index::new();
    index.insert(5, &of(&["a.b", "a"]));
    assert!(!index.remove(4, &of(&["a.b"])) && !index.remove(5, &of(&["a.b.c", "x"])));
    assert_eq!(index.count("a.b").exact(), Some(1));
    assert!(index.remove(5, &of(&["a.b", "a"])));
    assert!(!index.remove(5, &of(&["a.b", "a"])));
    assert!(index.is_empty());
}

#[test]
#[should_panic(expected = "subscription numbers grow")]
fn a_number_is_not_used_twice() {
    let mut index = Index::new();
    index.insert(1, &of(&["a"]));
    index.insert(1, &of(&["b"]));
}

#[test]
fn a_count_is_exact_where_that_is_cheap() {
    let mut index = Index::new();
    (0..300).for_each(|number| index.insert(number, &of(&["a.*"])));
    assert_eq!(index.count("a.b"), Reach { at_least: 300, at_most: 300 });
    index.insert(300, &of(&["a.b", "a.*"]));
    assert_eq!(index.count("a.b"), Reach { at_least: 301, at_most: 302 });
    assert_eq!(index.count("a.b").exact(), None);
    (0..200).for_each(|number| assert!(index.remove(number, &of(&["a.*"]))));
    assert_eq!(index.count("a.b"), Reach { at_least: 101, at_most: 101 });
    assert_eq!(index.count("b").exact(), Some(0));
}

#[test]
fn a_near_miss_is_found_among_many_patterns() {
    let mut index = Index::new();
    for number in 0..2000 {
        index.insert(number, &of(&[&alloc::format!("z{}.x{number}.y", number % 40)]));
    }
    assert_eq!(index.near_miss("order.item.added"), None);
    index.insert(2000, &of(&["order.*"]));
    index.insert(2001, &of(&["Invoice.sent", "warehouse.parcel.*.lost", "paid"]));
    let said = |event_type| index.near_miss(event_type).map(|near| near.to_string());
    let cases = [
        (
            "order.item.added",
            "`order.*` stands for exactly one segment after `order`; `order.**` would match `order.item.added`",
        ),
        ("order", "`order.*` stands for exactly one segment after `order`; `order.**` would match `order`"),
        ("invoice.sent", "`Invoice.sent` differs from `invoice.sent` only in upper and lower case"),
        ("Invoice.snt", "`Invoice.sent` has `sent` where `Invoice.snt` has `snt`"),
        ("warehouse.parcl.1.lost", "`warehouse.parcel.*.lost` has `parcel` where `warehouse.parcl.1.lost` has `parcl`"),
        ("late.paid", "`paid` names only the end of `late.paid`; `**.paid` would match `late.paid`"),
        ("z1.x41", "`z1.x41.y` wants further segments after `z1.x41`"),
        ("sent", "`Invoice.sent` wants further segments before `sent`"),
        (
            "warehouse.parcel.a.b.lost",
            "each `*` in `warehouse.parcel.*.lost` stands for exactly one segment; `warehouse.parcel.**.lost` would \
             match `warehouse.parcel.a.b.lost`",
        ),
    ];
    for (event_type, sentence) in cases {
        assert_eq!(index.count(event_type).exact(), Some(0));
        assert_eq!(said(event_type).as_deref(), Some(sentence));
    }
    assert_eq!((said(""), said("a..b")), (None, None));
}

#[test]
fn a_hundred_thousand_subscriptions_cost_what_matches() {
    let mut index = Index::new();
    let wide = of(&["order.*", "invoice.**"]);
    let narrow: Vec<Subscription> = (0..1000).map(|n| of(&[&alloc::format!("tool{n}.used")])).collect();
    for number in 0..100_000_u32 {
        index.insert(number, if number % 2 == 0 { &wide } else { &narrow[number as usize % 1000] });
    }
    let mut cursor = index.cursor("order.paid", u32::MAX);
    (0..50_000).for_each(|n| assert_eq!(index.next(&mut cursor), Some(n * 2)));
    assert_eq!(index.count("tool7.used").exact(), Some(100));
    assert_eq!(index.lists.used(), 2 + 500);
}

/// One step of a random life of an index.
#[derive(Clone, Debug)]
enum Step {
    Insert(Vec<String>),
    /// Removes the nth live subscription, modulo how many there are.
    Remove(usize),
    /// Begins a stream of the type, this far below the next number.
    Begin(String, u32),
    /// Advances the nth stream, modulo how many there are, by some numbers.
    Advance(usize, usize),
    /// Restores the nth stream from what is known outside: type, high water and last number.
    Restore(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let part = prop::sample::select(&["a", "b", "*", "**"][..]);
    let pattern = prop::collection::vec(part, 1..4).prop_map(|parts| parts.join("."));
    let segment = prop::sample::select(&["a", "b", "c"][..]);
    let event_type = prop::collection::vec(segment, 1..4).prop_map(|segments| segments.join("."));
    prop_oneof![
        4 => prop::collection::vec(pattern, 1..4).prop_map(Step::Insert),
        3 => any::<usize>().prop_map(Step::Remove),
        1 => (event_type, 0..4_u32).prop_map(|(event_type, below)| Step::Begin(event_type, below)),
        3 => (any::<usize>(), 1..5_usize).prop_map(|(which, by)| Step::Advance(which, by)),
        1 => any::<usize>().prop_map(Step::Restore),
    ]
}

/// A stream, and what a linear scan says about it.
struct Stream {
    event_type: String,
    high_water: u32,
    cursor: Cursor,
}

#[derive(Default)]
struct Model {
    index: Index,
    live: BTreeMap<u32, Subscription>,
    streams: Vec<Stream>,
    next: u32,
}

impl Model {
    fn take(&mut self, step: Step) {
        match step {
            Step::Insert(patterns) => {
                let subscription = Subscription::parse(patterns).unwrap();
                self.index.insert(self.next, &subscription);
                self.live.insert(self.next, subscription);
                self.next += 1 + self.next % 3;
            }
            Step::Remove(which) => {
                let Some(number) = pick(which, self.live.len()).and_then(|at| self.live.keys().nth(at).copied()) else {
                    return;
                };
                let subscription = self.live.remove(&number).unwrap();
                assert!(self.index.remove(number, &subscription));
                assert!(!self.index.remove(number, &subscription));
            }
            Step::Begin(event_type, below) => {
                let high_water = self.next.saturating_sub(below);
                let cursor = self.index.cursor(&event_type, high_water);
                self.streams.push(Stream { event_type, high_water, cursor });
            }
            Step::Advance(which, by) => {
                if let Some(at) = pick(which, self.streams.len()) {
                    (0..by).for_each(|_| self.advance(at));
                }
            }
            Step::Restore(which) => {
                let Some(at) = pick(which, self.streams.len()) else { return };
                let stream = &mut self.streams[at];
                let last = stream.cursor.at();
                stream.cursor = self.index.cursor(&stream.event_type, stream.high_water);
                last.into_iter().for_each(|last| stream.cursor.seek_after(last));
            }
        }
    }

    /// The next number is the least live one above the last and below the high water that wants the type.
    fn advance(&mut self, at: usize) {
        let Stream { event_type, high_water, cursor } = &mut self.streams[at];
        let from = cursor.at().map_or(0, |last| last + 1);
        let wanted = self
            .live
            .range(from.min(*high_water)..*high_water)
            .find(|(_, subscription)| subscription.matches(event_type))
            .map(|(number, _)| *number);
        assert_eq!(self.index.next(cursor), wanted);
    }

    fn check(&self) {
        for event_type in ["a", "a.b", "b.a.c", "a.a.a.a"] {
            let wanted = self.live.values().filter(|subscription| subscription.matches(event_type)).count();
            assert_eq!(self.index.count(event_type).exact(), Some(wanted));
        }
        assert_eq!(self.index.is_empty(), self.live.is_empty());
    }
}

fn pick(which: usize, of: usize) -> Option<usize> {
    which.checked_rem(of)
}

proptest! {
    /// Under any inserts, removals and partial advances, every step of every stream is that of a linear scan. So a
    /// number that is live while its stream passes is given, ascending and once, and no other is.
    #[test]
    fn a_stream_is_a_linear_scan(steps in prop::collection::vec(step(), 1..120)) {
        let mut model = Model::default();
        for step in steps {
            model.take(step);
        }
        model.check();
        for at in 0..model.streams.len() {
            while {
                let before = model.streams[at].cursor.at();
                model.advance(at);
                model.streams[at].cursor.at() != before
            } {}
        }
        for (number, subscription) in core::mem::take(&mut model.live) {
            assert!(model.index.remove(number, &subscription));
        }
        prop_assert_eq!((model.index.trie.used(), model.index.lists.used()), (1, 0));
    }

    /// What the lists give back is used again: a tenant that changes its one endpoint for ever stays small.
    #[test]
    fn memory_does_not_grow_with_changes(patterns in prop::collection::vec("[ab]\\.[ab*]", 1..50)) {
        let mut index = Index::new();
        for (number, pattern) in (0..).zip(patterns) {
            let subscription = of(&[&pattern]);
            index.insert(number, &subscription);
            assert!(index.remove(number, &subscription));
        }
        prop_assert!(index.lists.alloc() == 0);
    }
}

#[test]
fn a_dense_tree_gives_each_list_once_and_is_searched_within_bounds() {
    let mut index = Index::new();
    let parts = ["ab", "*", "**", "cd", "ef"];
    let mut patterns: Vec<String> = (0..3125_usize)
        .map(|n| (0..5).map(|place| parts[n / 5_usize.pow(place) % 5]).collect::<Vec<_>>().join("."))
        .filter(|pattern| pattern.contains("ab"))
        .map(|pattern| of(&[&pattern]).patterns()[0].to_string())
        .collect();
    patterns.sort_unstable();
    patterns.dedup();
    (0..).zip(&patterns).for_each(|(number, pattern)| index.insert(number, &of(&[pattern])));

    let event_type = ["ab"; 32].join(".");
    let wanted = patterns.iter().filter(|pattern| of(&[pattern]).matches(&event_type)).count();
    let mut lists = index.resolve(&event_type);
    lists.sort_unstable();
    lists.dedup();
    assert_eq!((lists.len(), index.resolve(&event_type).len()), (wanted, wanted));

    assert_eq!(index.near_miss(&["gh"; 32].join(".")), None);
    assert_eq!(index.near_miss("Ab.gh").unwrap().why, super::super::NearMissReason::Case);
}
