//! What clients saw, and whether one register a key could have answered so.
//!
//! The check is that of Wing and Gong with the memory of Lowe: each key by itself, as linearizability
//! allows. An operation whose outcome nobody knows may have happened at any time after it began, or
//! never. It is taken to have happened only right before an answer that could not be given without it: nobody
//! can tell from anything else, and histories of hours have many of them.

use std::collections::HashSet;

/// What was asked of a key. Every value is written once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    Get,
    Set(u64),
    Delete,
}

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    Value(Option<u64>),
    Done,
    Deleted(bool),
    /// Nobody knows whether it happened.
    Unknown,
}

/// One operation on one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    pub client: u64,
    pub asked: Asked,
    pub seen: Seen,
    /// Nanoseconds since the run began.
    pub began: u64,
    pub ended: u64,
}

/// A key's value before or after an operation.
type State = Option<u64>;

/// The state after the operation, if it may have answered so in that state.
fn after(state: State, operation: &Operation) -> Option<State> {
    match (operation.asked, operation.seen) {
        (Asked::Get, Seen::Value(value)) => (value == state).then_some(state),
        (Asked::Set(value), Seen::Done | Seen::Unknown) => Some(Some(value)),
        (Asked::Delete, Seen::Deleted(existed)) => (existed == state.is_some()).then_some(None),
        (Asked::Delete, Seen::Unknown) => Some(None),
        _ => None,
    }
}

/// What an operation of unknown outcome can explain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A value that somebody read: that answer, and nothing before it.
    Read,
    /// A value that nobody read: that there was something to delete.
    Unread,
    /// That there was nothing.
    Deletion,
}

/// Whether some order of the operations, each between its begin and its end, explains every answer.
pub fn is_linearizable(operations: &[Operation]) -> bool {
    // A read that nobody got an answer to says nothing.
    let operations: Vec<&Operation> = operations
        .iter()
        .filter(|operation| (operation.asked, operation.seen) != (Asked::Get, Seen::Unknown))
        .collect();
    let certain = operations
        .iter()
        .filter(|operation| operation.seen != Seen::Unknown)
        .count();
    let mut order: Vec<usize> = (0..operations.len()).collect();
    let is_unknown = |at: usize| operations[at].seen == Seen::Unknown;
    let read: HashSet<u64> = operations
        .iter()
        .filter_map(|operation| match operation.seen {
            Seen::Value(value) => value,
            _ => None,
        })
        .collect();
    let kind = |at: usize| match operations[at].asked {
        Asked::Set(value) if read.contains(&value) => Kind::Read,
        Asked::Set(_) => Kind::Unread,
        Asked::Get | Asked::Delete => Kind::Deletion,
    };
    // What is known first: what is not is tried where nothing else goes on.
    order.sort_by_key(|at| (is_unknown(*at), operations[*at].began));
    let mut done = vec![false; operations.len()];
    let mut done_certain = 0;
    let mut state: State = None;
    let mut met: HashSet<(Vec<u64>, State)> = HashSet::new();
    // What was chosen, the state before it, and where to go on looking if it was wrong.
    let mut chosen: Vec<(usize, State, usize)> = Vec::new();
    let mut from = 0;
    loop {
        if done_certain == certain {
            return true;
        }
        // Whatever ended first must come before everything that began later.
        let horizon = order
            .iter()
            .filter(|at| !done[**at] && operations[**at].seen != Seen::Unknown)
            .map(|at| operations[*at].ended)
            .min()
            .unwrap_or(u64::MAX);
        let next = (from..order.len()).find_map(|place| {
            let at = order[place];
            let operation = operations[at];
            if done[at] || operation.began > horizon {
                return None;
            }
            let new = after(state, operation)?;
            // Of those that are alike only the first is tried: the others stay as they are.
            let is_alike = |other: &&usize| {
                let may_be_next = !done[**other] && operations[**other].began <= horizon;
                may_be_next && is_unknown(**other) && kind(**other) == kind(at)
            };
            let is_tried = |other: &usize| {
                let answer = operations[*other];
                let may_be_next = !done[*other] && answer.began <= horizon && !is_unknown(*other);
                let is_needed = after(state, answer).is_none() && after(new, answer).is_some();
                may_be_next && is_needed && (kind(at) != Kind::Read || answer.asked == Asked::Get)
            };
            if is_unknown(at)
                && (!order.iter().any(is_tried)
                    || (kind(at) != Kind::Read && order.iter().find(is_alike) != Some(&at)))
            {
                return None;
            }
            let mut with = done.clone();
            with[at] = true;
            met.insert((bits(&with), new)).then_some((place, at, new))
        });
        match next {
            Some((place, at, new)) => {
                chosen.push((at, state, place + 1));
                done[at] = true;
                done_certain += usize::from(operations[at].seen != Seen::Unknown);
                state = new;
                from = 0;
            }
            None => {
                let Some((at, before, place)) = chosen.pop() else {
                    return false;
                };
                done[at] = false;
                done_certain -= usize::from(operations[at].seen != Seen::Unknown);
                state = before;
                from = place;
            }
        }
    }
}

fn bits(done: &[bool]) -> Vec<u64> {
    let mut words = vec![0; done.len().div_ceil(64)];
    for (at, done) in done.iter().enumerate() {
        words[at / 64] |= u64::from(*done) << (at % 64);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(asked: Asked, seen: Seen, began: u64, ended: u64) -> Operation {
        Operation {
            client: 0,
            asked,
            seen,
            began,
            ended,
        }
    }

    #[test]
    fn a_read_may_see_either_side_of_a_write_that_overlaps_it_and_only_the_later_side_after_it() {
        let write = operation(Asked::Set(1), Seen::Done, 0, 10);
        let early = operation(Asked::Get, Seen::Value(None), 5, 6);
        let late = operation(Asked::Get, Seen::Value(Some(1)), 7, 8);
        assert!(is_linearizable(&[write, early, late]));
        let stale = operation(Asked::Get, Seen::Value(None), 11, 12);
        assert!(!is_linearizable(&[write, stale]));
        let swapped = [
            operation(Asked::Get, Seen::Value(Some(1)), 5, 6),
            operation(Asked::Get, Seen::Value(None), 7, 8),
        ];
        assert!(!is_linearizable(&[write, swapped[0], swapped[1]]));
    }

    #[test]
    fn a_write_that_nobody_knows_of_may_appear_late_or_never_and_not_twice() {
        let unknown = operation(Asked::Set(1), Seen::Unknown, 0, 5);
        let get = |seen, began| operation(Asked::Get, Seen::Value(seen), began, began + 1);
        assert!(is_linearizable(&[unknown, get(None, 10), get(Some(1), 20)]));
        assert!(is_linearizable(&[unknown, get(None, 10), get(None, 20)]));
        assert!(!is_linearizable(&[
            unknown,
            get(Some(1), 10),
            get(None, 20)
        ]));
    }

    #[test]
    fn a_delete_says_whether_the_key_was_there() {
        let set = operation(Asked::Set(7), Seen::Done, 0, 1);
        let delete =
            |existed, began| operation(Asked::Delete, Seen::Deleted(existed), began, began + 1);
        assert!(is_linearizable(&[set, delete(true, 2), delete(false, 4)]));
        assert!(!is_linearizable(&[set, delete(true, 2), delete(true, 4)]));
    }

    #[test]
    fn a_lost_write_among_many_is_found() {
        let mut operations = Vec::new();
        for at in 0..500 {
            operations.push(operation(Asked::Set(at), Seen::Done, at * 10, at * 10 + 25));
            operations.push(operation(
                Asked::Get,
                Seen::Value(Some(at)),
                at * 10 + 5,
                at * 10 + 24,
            ));
        }
        assert!(is_linearizable(&operations));
        operations.push(operation(
            Asked::Get,
            Seen::Value(Some(3)),
            100_000,
            100_001,
        ));
        assert!(!is_linearizable(&operations));
    }

    /// Many writes of which nobody knows, some of them seen much later and some only by a delete.
    #[test]
    fn writes_of_unknown_outcome_do_not_multiply_what_has_to_be_tried() {
        let mut history = Vec::new();
        for round in 0..200_u64 {
            let at = round * 100;
            let lost = operation(Asked::Set(10_000 + round), Seen::Unknown, at, at + 1);
            let wrote = operation(Asked::Set(round), Seen::Done, at + 2, at + 3);
            let read = operation(Asked::Get, Seen::Value(Some(round)), at + 4, at + 5);
            let deleted = operation(Asked::Delete, Seen::Deleted(true), at + 6, at + 7);
            // Only one of the lost writes explains that there was something to delete once more.
            let again = operation(Asked::Delete, Seen::Deleted(round % 2 == 1), at + 8, at + 9);
            history.extend([lost, wrote, read, deleted, again]);
        }
        let late = operation(Asked::Get, Seen::Value(Some(10_000)), 30_000, 30_001);
        history.push(late);
        assert!(is_linearizable(&history));
        let twice = operation(Asked::Get, Seen::Value(Some(3)), 30_002, 30_003);
        history.push(twice);
        assert!(!is_linearizable(&history));
    }

    /// Every order of the operations, and every choice of those of unknown outcome.
    fn is_explained(left: &[Operation], state: State) -> bool {
        let certain = |operation: &&Operation| operation.seen != Seen::Unknown;
        let ended = left.iter().filter(certain).map(|operation| operation.ended);
        let Some(horizon) = ended.min() else {
            return true;
        };
        (0..left.len()).any(|at| {
            let mut rest = left.to_vec();
            let operation = rest.remove(at);
            let next = after(state, &operation).filter(|_| operation.began <= horizon);
            next.is_some_and(|state| is_explained(&rest, state))
        })
    }

    #[test]
    fn small_histories_have_the_verdict_of_trying_everything() {
        use rand::{Rng, SeedableRng};

        let seed = 7;
        println!("seed {seed}");
        let mut random = rand::rngs::StdRng::seed_from_u64(seed);
        let (mut explained, mut not) = (0, 0);
        for _ in 0..20_000 {
            let mut history: Vec<Operation> = (0..random.random_range(1..8))
                .map(|number| {
                    let value = random.random_range(0..8);
                    let (asked, seen) = match random.random_range(0..8) {
                        0 | 1 => (Asked::Get, Seen::Value(Some(value))),
                        2 => (Asked::Get, Seen::Value(None)),
                        3 => (Asked::Delete, Seen::Deleted(value < 5)),
                        4 => (Asked::Delete, Seen::Unknown),
                        5 | 6 => (Asked::Set(number), Seen::Unknown),
                        _ => (Asked::Set(number), Seen::Done),
                    };
                    let began = random.random_range(0..30);
                    operation(asked, seen, began, began + random.random_range(1..12))
                })
                .collect();
            history.retain(|one| (one.asked, one.seen) != (Asked::Get, Seen::Unknown));
            let expected = is_explained(&history, None);
            assert_eq!(is_linearizable(&history), expected, "{history:?}");
            *(if expected { &mut explained } else { &mut not }) += 1;
        }
        assert!(explained > 2000 && not > 2000, "{explained}, {not}");
    }
}
