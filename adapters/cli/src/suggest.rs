//! What was probably meant by a word that is not known.

/// Of the known words, the one that is nearest to `word` and near enough to have been meant.
pub(crate) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let most = (word.chars().count() / 3).max(1);
    let distances = known.iter().map(|known| (distance(&word.to_ascii_lowercase(), known), *known));
    distances.filter(|(distance, _)| *distance <= most).min().map(|(_, known)| known)
}

/// The text of an error about a key that is not known.
pub(crate) fn unknown_key(key: &str, known: &[&str]) -> String {
    match nearest(key, known) {
        Some(meant) => format!("there is no such key; did you mean `{meant}`?"),
        None => format!("there is no such key; the keys are {}", known.join(", ")),
    }
}

/// Characters to insert, remove, replace or swap with their neighbour to make one word of the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_single_slips() {
        for (a, b, expected) in [("", "", 0), ("abc", "", 3), ("url", "ulr", 1), ("secret", "sceret", 1), ("a", "b", 1)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn only_near_words_are_suggested() {
        let known = ["id", "url", "secret", "secrets", "concurrency"];
        assert_eq!(nearest("secert", &known), Some("secret"));
        assert_eq!(nearest("URL", &known), Some("url"));
        assert_eq!(nearest("concurency", &known), Some("concurrency"));
        assert_eq!(nearest("colour", &known), None);
    }
}
