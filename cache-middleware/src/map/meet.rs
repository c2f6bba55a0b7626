//! Whether two templates can name the same tag.

use std::collections::HashSet;

use crate::template::separates;

/// A piece of a template: a character, or a placeholder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    One(char),
    Any,
}

/// Whether there are values of their placeholders with which both are the same text.
pub(super) fn can_meet(a: &str, b: &str) -> bool {
    let (a, b) = (pieces(a), pieces(b));
    let mut seen = HashSet::new();
    let mut open = vec![(0, 0)];
    while let Some((i, j)) = open.pop() {
        if !seen.insert((i, j)) {
            continue;
        }
        match (a.get(i), b.get(j)) {
            (None, None) => return true,
            (Some(Piece::One(x)), Some(Piece::One(y))) if x == y => open.push((i + 1, j + 1)),
            (Some(Piece::Any), other) => {
                open.push((i + 1, j));
                if other.is_some_and(|piece| may_be_in_a_value(*piece)) {
                    open.push((i, j + 1));
                }
            }
            (other, Some(Piece::Any)) => {
                open.push((i, j + 1));
                if other.is_some_and(|piece| may_be_in_a_value(*piece)) {
                    open.push((i + 1, j));
                }
            }
            _ => {}
        }
    }
    false
}

/// Whether a placeholder may reach over a piece: never over a colon, because no escaped value has one.
fn may_be_in_a_value(piece: Piece) -> bool {
    match piece {
        Piece::Any => true,
        Piece::One(c) => !separates(c),
    }
}

fn pieces(template: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = template.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '{' | '}' if rest.next_if_eq(&c).is_some() => pieces.push(Piece::One(c)),
            '{' => {
                while rest.next().is_some_and(|c| c != '}') {}
                pieces.push(Piece::Any);
            }
            c => pieces.push(Piece::One(c)),
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_meet_where_one_text_is_of_both() {
        for (a, b) in [
            ("sessions", "sessions"),
            ("teacher:{teacher.id}", "teacher:{teacher_id}"),
            ("teacher:{id}", "teacher:7"),
            ("{kind}:{id}", "teacher:{id}"),
            ("school:{school}:sessions", "school:{id}:sessions"),
            ("{{x}}", "{{x}}"),
            ("a{x}", "{y}b"),
        ] {
            assert!(can_meet(a, b) && can_meet(b, a), "{a} {b}");
        }
    }

    #[test]
    fn others_do_not() {
        for (a, b) in [
            ("sessions", "session"),
            ("teacher:{id}", "teachers:{id}"),
            ("teacher:{id}", "teacher:{id}:sessions"),
            ("school:{id}", "school:{id}:{part}"),
            ("{x}", "a:b"),
            ("", "a"),
        ] {
            assert!(!can_meet(a, b) && !can_meet(b, a), "{a} {b}");
        }
    }
}
