//! The difference between two answers, line by line, for a person.

/// Lines of both answers: `-` expected and not there, `+` there and not expected, two spaces both.
pub fn difference(expected: &[String], found: &[String]) -> Vec<String> {
    let common = longest_common(expected, found);
    let mut lines = Vec::new();
    let (mut expected, mut found) = (expected.iter().peekable(), found.iter().peekable());
    for line in common {
        while let Some(gone) = expected.next_if(|next| *next != line) {
            lines.push(format!("- {gone}"));
        }
        while let Some(new) = found.next_if(|next| *next != line) {
            lines.push(format!("+ {new}"));
        }
        expected.next();
        found.next();
        lines.push(format!("  {line}"));
    }
    lines.extend(expected.map(|gone| format!("- {gone}")));
    lines.extend(found.map(|new| format!("+ {new}")));
    lines
}

/// A longest common subsequence. Answers are short; beyond this many lines the common head will do.
fn longest_common<'a>(a: &'a [String], b: &'a [String]) -> Vec<&'a String> {
    const LINES_MAX: usize = 500;
    if a.len() > LINES_MAX || b.len() > LINES_MAX {
        let same = a.iter().zip(b).take_while(|(a, b)| a == b);
        return same.map(|(a, _)| a).collect();
    }
    // One row of the table per line of `a`, from the last to the first.
    let mut rows: Vec<Vec<usize>> = vec![vec![0; b.len() + 1]];
    for line in a.iter().rev() {
        let below = rows.last().cloned().unwrap_or_default();
        let mut row = vec![0; b.len() + 1];
        for (at, other) in b.iter().enumerate().rev() {
            let get = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(0);
            let best = if line == other {
                get(&below, at + 1) + 1
            } else {
                get(&below, at).max(get(&row, at + 1))
            };
            if let Some(cell) = row.get_mut(at) {
                *cell = best;
            }
        }
        rows.push(row);
    }
    rows.reverse();
    let length = |i: usize, j: usize| rows.get(i).and_then(|row| row.get(j)).copied().unwrap_or(0);
    let (mut i, mut j) = (0, 0);
    let mut common = Vec::new();
    while let (Some(left), Some(right)) = (a.get(i), b.get(j)) {
        if left == right {
            common.push(left);
            (i, j) = (i + 1, j + 1);
        } else if length(i + 1, j) >= length(i, j + 1) {
            i += 1;
        } else {
            j += 1;
        }
    }
    common
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn what_both_have_stays_and_the_rest_is_marked() {
        assert_eq!(
            difference(&lines("a b c d"), &lines("a x c d e")),
            ["  a", "- b", "+ x", "  c", "  d", "+ e"]
        );
        assert_eq!(difference(&lines("a"), &[]), ["- a"]);
        assert_eq!(difference(&[], &lines("a")), ["+ a"]);
        assert_eq!(difference(&lines("a b"), &lines("a b")), ["  a", "  b"]);
    }
}
