//! Which events an endpoint wants by what they say: what each drawn filter means, read from the text of the payload.

use crate::observe::Filter;

/// Whether an event passes a filter.
pub(super) fn passes(filter: Filter, event_type: &str, payload: &[u8]) -> bool {
    let number = number(payload);
    match filter {
        Filter::Within(low, high) => number.is_some_and(|number| low <= number && number < high),
        Filter::Not(these) => number.is_some_and(|number| !these.contains(&number)),
        Filter::NoNumber => number.is_none(),
        Filter::TextOr(this) => number == Some(this) || text(payload).is_some_and(|text| !text.is_empty()),
        Filter::TypeEnds(end) => event_type.ends_with(end),
    }
}

/// Whether a pattern names an event type: `*` is one segment, `**` any number, none included.
pub(super) fn names(pattern: &str, event_type: &str) -> bool {
    fn rest(pattern: &[&str], segments: &[&str]) -> bool {
        match (pattern, segments) {
            ([], []) => true,
            ([first, after @ ..], _) if *first == "**" => (0..=segments.len()).any(|n| rest(after, &segments[n..])),
            ([first, after @ ..], [segment, others @ ..]) => (*first == "*" || first == segment) && rest(after, others),
            ([], [_, ..]) | ([_, ..], []) => false,
        }
    }
    if pattern == "**" || pattern == event_type {
        return true;
    }
    rest(&pattern.split('.').collect::<Vec<_>>(), &event_type.split('.').collect::<Vec<_>>())
}

/// The number `n` of a payload: the world writes it first.
fn number(payload: &[u8]) -> Option<u64> {
    let rest = payload.strip_prefix(b"{\"n\":")?;
    let end = rest.iter().position(|byte| *byte == b',')?;
    std::str::from_utf8(&rest[..end]).ok()?.parse().ok()
}

/// The text `p` of a payload, which is last and has no escapes.
fn text(payload: &[u8]) -> Option<&[u8]> {
    let rest = payload.strip_prefix(b"{\"n\":")?;
    let begin = rest.windows(6).position(|six| six == b",\"p\":\"")?;
    rest[begin + 6..].strip_suffix(b"\"}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_types() {
        for (pattern, event_type, named) in [
            ("**", "a.b", true),
            ("a.*", "a.b", true),
            ("a.*", "a.b.c", false),
            ("a.**", "a", true),
            ("*.b.**", "a.b.c.d", true),
            ("**.d", "a.b.c.d", true),
            ("a.b", "a.c", false),
            ("*", "a.b", false),
        ] {
            assert_eq!(names(pattern, event_type), named, "{pattern} {event_type}");
        }
    }

    #[test]
    fn payloads_are_read() {
        let all =
            [Filter::Within(3, 5), Filter::Not([1, 3]), Filter::NoNumber, Filter::TextOr(1), Filter::TypeEnds(".x")];
        let judged = |event_type, payload: &str| all.map(|filter| passes(filter, event_type, payload.as_bytes()));
        assert_eq!(judged("a.x", "{\"n\":4,\"p\":\"xx\"}"), [true, true, false, true, true]);
        assert_eq!(judged("a.y", "{\"n\":3,\"p\":\"\"}"), [true, false, false, false, false]);
        assert_eq!(judged("a.y", "{\"n\":1,\"p\":\"\"}"), [false, false, false, true, false]);
        assert_eq!(judged("a.y", "{\"n\":5,\"p\":\"\"}"), [false, true, false, false, false]);
        for other in ["0", "\"\"", "{\"\\u0000\":\"\"}"] {
            assert_eq!(judged("x.x", other), [false, false, true, false, true], "{other}");
        }
    }
}
