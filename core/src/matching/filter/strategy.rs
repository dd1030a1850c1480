//! Filters and events for properties: from few names and values, so that they often meet.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;
use proptest::sample::select;

use super::{Filter, FilterError, Language};

/// JSON as a tree in which names may repeat and numbers are text.
#[derive(Clone, Debug)]
pub(super) enum Json {
    Object(Vec<(String, Self)>),
    Array(Vec<Self>),
    Text(&'static str),
    Number(&'static str),
    Word(&'static str),
}

/// A pattern as a tree.
#[derive(Clone, Debug)]
pub(super) enum Pattern {
    Fields(Vec<(String, Self)>),
    /// Under the name `$or`.
    Or(Vec<Self>),
    List(Vec<Wanted>),
}

#[derive(Clone, Debug)]
pub(super) enum Wanted {
    Text(&'static str),
    Number(&'static str),
    Word(&'static str),
    Exactly(&'static str),
    Prefix(&'static str),
    Suffix(&'static str),
    IgnoreCase(&'static str),
    PrefixIgnoreCase(&'static str),
    SuffixIgnoreCase(&'static str),
    Wildcard(&'static str),
    Numeric(&'static str, &'static str),
    Between(&'static str, &'static str, &'static str, &'static str),
    Exists(bool),
    Cidr(&'static str),
    But(Vec<&'static str>),
    ButNumbers(Vec<&'static str>),
    ButAny(&'static str, Vec<&'static str>),
}

/// A filter of CloudEvents as a tree.
#[derive(Clone, Debug)]
pub(super) enum Dialect {
    /// `exact`, `prefix` or `suffix`.
    Of(&'static str, Vec<(&'static str, &'static str)>),
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
}

const NAMES: &[&str] = &["a", "b", "c", "a-b", "a.b"];
const TEXTS: &[&str] = &["", "a", "ab", "b", "A", "aB", "ba", "aba", "10.0.0.1", "10.0.1.0", "::1", "0::1"];
const NUMBERS: &[&str] = &["0", "1", "1.0", "10e-1", "2", "-1", "-1.5", "0.5", "1e2", "9007199254740993"];
const LOW: &[&str] = &["-1.5", "-1", "0", "0.5"];
const HIGH: &[&str] = &["1", "1.5", "2", "1e2"];
const WILDCARDS: &[&str] = &["*", "a*", "*a", "a*a", "*b*", "*.0.*", "a*b*a", "\\\\*", "ab"];
const CIDRS: &[&str] = &["10.0.0.0/24", "10.0.0.0/8", "0.0.0.0/0", "::/64", "10.0.0.1/32"];
const ATTRIBUTES: &[&str] = &["a", "b", "c"];

fn text() -> impl Strategy<Value = &'static str> {
    select(TEXTS)
}

fn number() -> impl Strategy<Value = &'static str> {
    select(NUMBERS)
}

fn some_texts() -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec(select(&TEXTS[1..]), 1..4)
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let numeric = (select(&["=", "<", "<=", ">", ">="][..]), number()).prop_map(|(op, at)| Wanted::Numeric(op, at));
    let between = (select(&[">", ">="][..]), select(LOW), select(&["<", "<="][..]), select(HIGH));
    prop_oneof![
        6 => text().prop_map(Wanted::Text),
        4 => number().prop_map(Wanted::Number),
        1 => select(&["true", "false", "null"][..]).prop_map(Wanted::Word),
        1 => text().prop_map(Wanted::Exactly),
        2 => text().prop_map(Wanted::Prefix),
        2 => text().prop_map(Wanted::Suffix),
        2 => text().prop_map(Wanted::IgnoreCase),
        1 => text().prop_map(Wanted::PrefixIgnoreCase),
        1 => text().prop_map(Wanted::SuffixIgnoreCase),
        2 => select(WILDCARDS).prop_map(Wanted::Wildcard),
        2 => numeric,
        2 => between.prop_map(|(low, at, high, to)| Wanted::Between(low, at, high, to)),
        2 => any::<bool>().prop_map(Wanted::Exists),
        1 => select(CIDRS).prop_map(Wanted::Cidr),
        1 => some_texts().prop_map(Wanted::But),
        1 => prop::collection::vec(number(), 1..3).prop_map(Wanted::ButNumbers),
        1 => (select(&["prefix", "suffix", "equals-ignore-case"][..]), some_texts())
            .prop_map(|(test, texts)| Wanted::ButAny(test, texts)),
        1 => prop::collection::vec(select(WILDCARDS), 1..3).prop_map(|texts| Wanted::ButAny("wildcard", texts)),
    ]
}

pub(super) fn pattern() -> impl Strategy<Value = Pattern> {
    let list = prop::collection::vec(wanted(), 1..4).prop_map(Pattern::List);
    let inner = list.prop_recursive(3, 12, 3, |inner| {
        let name = || select(NAMES).prop_map(ToString::to_string);
        let fields = prop::collection::vec((name(), inner.clone()), 1..4).prop_map(Pattern::Fields);
        let or = prop::collection::vec(fields.clone(), 2..4).prop_map(Pattern::Or);
        prop_oneof![
            4 => fields,
            1 => (prop::collection::vec((name(), inner), 0..2), or).prop_map(|(mut fields, or)| {
                fields.push(("$or".to_string(), or));
                Pattern::Fields(fields)
            }),
        ]
    });
    let name = select(NAMES).prop_map(ToString::to_string);
    let pattern = prop::collection::vec((name, inner), 1..4).prop_map(Pattern::Fields);
    pattern.prop_filter("it has too many branches", |pattern| {
        !matches!(Filter::eventbridge(&pattern.to_string()), Err(FilterError::TooMany { .. }))
    })
}

pub(super) fn json() -> impl Strategy<Value = Json> {
    let scalar = prop_oneof![
        3 => text().prop_map(Json::Text),
        3 => number().prop_map(Json::Number),
        1 => select(&["true", "false", "null"][..]).prop_map(Json::Word),
    ];
    let inner = scalar.prop_recursive(4, 40, 4, |inner| {
        let name = select(NAMES).prop_map(ToString::to_string);
        let object = prop::collection::vec((name, inner.clone()), 0..5).prop_map(Json::Object);
        prop_oneof![object, prop::collection::vec(inner, 0..5).prop_map(Json::Array)]
    });
    let name = select(NAMES).prop_map(ToString::to_string);
    prop::collection::vec((name, inner), 0..5).prop_map(Json::Object)
}

pub(super) fn dialect() -> impl Strategy<Value = Dialect> {
    let attributes = prop::collection::vec((select(ATTRIBUTES), select(&TEXTS[1..])), 1..3);
    let of = (select(&["exact", "prefix", "suffix"][..]), attributes).prop_map(|(name, of)| Dialect::Of(name, of));
    of.prop_recursive(3, 12, 3, |inner| {
        let list = prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            list.clone().prop_map(Dialect::All),
            list.prop_map(Dialect::Any),
            inner.prop_map(|one| Dialect::Not(one.into())),
        ]
    })
}

/// The text of an event.
pub(super) fn event() -> impl Strategy<Value = String> {
    json().prop_map(|json| json.to_string())
}

/// A filter in either language.
pub(super) fn filter() -> impl Strategy<Value = Filter> {
    prop_oneof![
        4 => pattern().prop_map(|pattern| (Language::EventBridge, pattern.to_string())),
        1 => dialect().prop_map(|dialect| (Language::CloudEvents, dialect.to_string())),
    ]
    .prop_map(|(language, text)| Filter::read(language, &text).unwrap_or_else(|error| panic!("{text} {error}")))
}

fn object<T: ToString>(members: &[(impl AsRef<str>, T)]) -> String {
    let members = members.iter().map(|(name, value)| format!("{:?}:{}", name.as_ref(), value.to_string()));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

fn array<T: ToString>(items: &[T]) -> String {
    format!("[{}]", items.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
}

fn quoted(texts: &[&str]) -> String {
    array(&texts.iter().map(|text| format!("{text:?}")).collect::<Vec<_>>())
}

impl core::fmt::Display for Json {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Object(members) => f.write_str(&object(members)),
            Self::Array(items) => f.write_str(&array(items)),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Number(text) | Self::Word(text) => f.write_str(text),
        }
    }
}

impl core::fmt::Display for Pattern {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Fields(members) => f.write_str(&object(members)),
            Self::Or(items) => f.write_str(&array(items)),
            Self::List(items) => f.write_str(&array(items)),
        }
    }
}

impl core::fmt::Display for Wanted {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Number(text) | Self::Word(text) => f.write_str(text),
            Self::Exactly(text) => write!(f, r#"{{"exactly":{text:?}}}"#),
            Self::Prefix(text) => write!(f, r#"{{"prefix":{text:?}}}"#),
            Self::Suffix(text) => write!(f, r#"{{"suffix":{text:?}}}"#),
            Self::IgnoreCase(text) => write!(f, r#"{{"equals-ignore-case":{text:?}}}"#),
            Self::PrefixIgnoreCase(text) => write!(f, r#"{{"prefix":{{"equals-ignore-case":{text:?}}}}}"#),
            Self::SuffixIgnoreCase(text) => write!(f, r#"{{"suffix":{{"equals-ignore-case":{text:?}}}}}"#),
            Self::Wildcard(text) => write!(f, r#"{{"wildcard":{text:?}}}"#),
            Self::Numeric(op, at) => write!(f, r#"{{"numeric":["{op}",{at}]}}"#),
            Self::Between(low, at, high, to) => write!(f, r#"{{"numeric":["{low}",{at},"{high}",{to}]}}"#),
            Self::Exists(exists) => write!(f, r#"{{"exists":{exists}}}"#),
            Self::Cidr(text) => write!(f, r#"{{"cidr":{text:?}}}"#),
            Self::But(texts) if texts.len() == 1 => write!(f, r#"{{"anything-but":{:?}}}"#, texts[0]),
            Self::But(texts) => write!(f, r#"{{"anything-but":{}}}"#, quoted(texts)),
            Self::ButNumbers(numbers) => write!(f, r#"{{"anything-but":{}}}"#, array(numbers)),
            Self::ButAny(test, texts) => write!(f, r#"{{"anything-but":{{"{test}":{}}}}}"#, quoted(texts)),
        }
    }
}

impl core::fmt::Display for Dialect {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Of(name, of) => {
                let of: Vec<_> = of.iter().map(|(name, value)| (name, format!("{value:?}"))).collect();
                write!(f, r#"{{"{name}":{}}}"#, object(&of))
            }
            Self::All(of) => write!(f, r#"{{"all":{}}}"#, array(of)),
            Self::Any(of) => write!(f, r#"{{"any":{}}}"#, array(of)),
            Self::Not(of) => write!(f, r#"{{"not":{of}}}"#),
        }
    }
}
