//! The nearest right word, and lists of words, for messages.

/// The candidate nearest to a word, as the end of a sentence.
pub(crate) fn hint(word: &str, candidates: &[&str]) -> String {
    nearest(word, candidates).map_or_else(|| ".".to_owned(), |near| format!("; did you mean `{near}`?"))
}

pub(crate) fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    candidates
        .iter()
        .map(|candidate| (distance(word, candidate), *candidate))
        .filter(|(distance, candidate)| {
            *distance > 0 && *distance <= (candidate.len().max(word.len()) / 6).max(2.min(word.len() / 2))
        })
        .min()
        .map(|(_, candidate)| candidate)
}

/// Words in backquotes, joined by commas.
pub(crate) fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}
