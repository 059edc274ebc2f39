//! Medians, and ratios of runs of the same round.

/// The middle value; of an even number, the mean of the two in the middle. `None` of none. What is not
/// a finite number does not count.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values
        .into_iter()
        .filter(|value| value.is_finite())
        .collect();
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *values.get(values.len() / 2 - 1)?;
    Some(f64::midpoint(lower, upper))
}

/// The median of the ratios of each round. Rounds in which one of the two is missing do not count:
/// whatever disturbed a round disturbed both of its runs, so only runs of one round are compared.
pub(crate) fn ratio(over: &[Option<f64>], under: &[Option<f64>]) -> Option<f64> {
    let pairs = over.iter().zip(under);
    median(pairs.filter_map(|(over, under)| Some((*over)? / (*under)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between() {
        assert_eq!(median([]), None);
        assert_eq!(median([3.0]), Some(3.0));
        assert_eq!(median([9.0, 1.0, 5.0]), Some(5.0));
        assert_eq!(median([4.0, 1.0, 2.0, 100.0]), Some(3.0));
        assert_eq!(median([f64::NAN, 2.0]), Some(2.0));
    }

    #[test]
    fn ratios_pair_the_runs_of_a_round() {
        // Each round is twice as fast as its peer; the medians alone would say 10 to 5 as well, but
        // with one disturbed round they would not.
        let torrens = [Some(10.0), Some(2.0), Some(20.0)];
        let peer = [Some(5.0), Some(1.0), Some(10.0)];
        assert_eq!(ratio(&torrens, &peer), Some(2.0));
        let disturbed = [Some(5.0), None, Some(10.0)];
        assert_eq!(ratio(&torrens, &disturbed), Some(2.0));
        assert_eq!(ratio(&torrens, &[None, None, None]), None);
        assert_eq!(ratio(&torrens, &[Some(0.0)]), None);
    }
}
