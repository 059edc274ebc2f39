use super::*;
use crate::store::contract::Seeded;

fn range(random: &mut Seeded) -> KeyRange {
    loop {
        let end = (random.below(5) > 0).then(|| random.key());
        if let Some(range) = KeyRange::new(random.key(), end) {
            return range;
        }
    }
}

#[test]
fn lookups_agree_with_a_plain_list_while_deletions_come_and_go() {
    let seed = 0x5eed_0011;
    println!("seed {seed:#x}");
    let mut random = Seeded(seed);
    let deletions = RangeDeletions::default();
    let mut plain: Vec<RangeDeletion> = Vec::new();
    for sequence in 1..=600_u64 {
        if random.below(3) > 0 || plain.is_empty() {
            let cf = ColumnFamily::new(random.below(2) as u8);
            let sequence = Sequence::new(sequence);
            let deletion = RangeDeletion {
                cf,
                range: range(&mut random),
                sequence,
            };
            deletions.insert(deletion.clone());
            plain.push(deletion);
        } else {
            let gone = plain.swap_remove(random.below(plain.len() as u64) as usize);
            deletions.remove(gone.cf, gone.range.start(), gone.sequence);
        }
        assert_eq!(deletions.len(), plain.len());
        for _ in 0..8 {
            let (cf, key) = (ColumnFamily::new(random.below(2) as u8), random.key());
            let at = Sequence::new(random.below(sequence + 2));
            let hiding = plain
                .iter()
                .filter(|one| one.hides(cf, &key) && one.sequence <= at);
            let expected = hiding.map(|one| one.sequence).max();
            assert_eq!(
                deletions.newest_over(cf, &key, at),
                expected,
                "{key:?} at {at}"
            );
            let walked = range(&mut random);
            let mask = deletions.over(cf, &walked, at);
            if walked.contains(&key) {
                let version = Sequence::new(random.below(sequence + 2));
                let hidden = expected.is_some_and(|deleted| version < deleted);
                assert_eq!(mask.hides(&Key::from(key), version), hidden);
            }
        }
    }
    for gone in plain {
        deletions.remove(gone.cf, gone.range.start(), gone.sequence);
    }
    assert!(deletions.is_empty() && deletions.state.read().fragments.is_empty());
}

#[test]
fn the_same_row_with_another_end_replaces_the_first() {
    let deletions = RangeDeletions::default();
    let (cf, sequence) = (ColumnFamily::DEFAULT, Sequence::new(4));
    for end in [Some(b"z".as_slice()), Some(b"c"), None] {
        let range = KeyRange::new(b"a".as_slice(), end).unwrap();
        deletions.insert(RangeDeletion {
            cf,
            range,
            sequence,
        });
        let hidden = deletions.newest_over(cf, b"m", Sequence::MAX).is_some();
        assert_eq!(hidden, end != Some(b"c"));
    }
    assert_eq!(deletions.len(), 1);
}
