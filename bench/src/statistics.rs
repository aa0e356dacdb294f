//! Medians and their spread, and the order of measuring.

/// The median of some measurements, and the quartiles.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    pub median: f64,
    pub lower: f64,
    pub upper: f64,
}

impl Summary {
    /// `None` if there are no measurements.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        (!values.is_empty()).then(|| Self {
            median: quantile(&values, 0.5),
            lower: quantile(&values, 0.25),
            upper: quantile(&values, 0.75),
        })
    }

    /// The same in another unit, or as a ratio.
    pub fn times(self, factor: f64) -> Self {
        Self {
            median: self.median * factor,
            lower: self.lower * factor,
            upper: self.upper * factor,
        }
    }

    /// Whether the quartiles of the two meet, so that their order may be chance.
    pub fn overlaps(self, other: Self) -> bool {
        self.lower <= other.upper && other.lower <= self.upper
    }
}

/// Between the two nearest values, in proportion. The values are sorted, and there is at least one.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * place.fract()
}

/// Each item so many times. All take turns, in a new order each turn, so that the machine's other
/// work affects all alike.
pub fn interleaved<T: Copy>(items: &[T], repetitions: usize, rng: &mut fastrand::Rng) -> Vec<T> {
    let mut order = Vec::with_capacity(items.len() * repetitions);
    for _ in 0..repetitions {
        let mut turn = items.to_vec();
        rng.shuffle(&mut turn);
        order.extend(turn);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(values: &[f64]) -> Summary {
        Summary::of(values.iter().copied()).unwrap()
    }

    #[test]
    fn nothing_measured_has_no_median() {
        assert_eq!(Summary::of([]), None);
    }

    #[test]
    fn a_single_measurement_has_no_spread() {
        assert_eq!(summary(&[3.0]), Summary { median: 3.0, lower: 3.0, upper: 3.0 });
    }

    #[test]
    fn the_order_of_the_measurements_does_not_matter() {
        assert_eq!(
            summary(&[5.0, 1.0, 4.0, 2.0, 3.0]),
            Summary { median: 3.0, lower: 2.0, upper: 4.0 }
        );
    }

    #[test]
    fn between_two_measurements_it_is_in_proportion() {
        assert_eq!(
            summary(&[1.0, 2.0, 3.0, 4.0]),
            Summary { median: 2.5, lower: 1.75, upper: 3.25 }
        );
    }

    #[test]
    fn quartiles_that_touch_overlap() {
        let (low, high) = (summary(&[1.0, 2.0, 3.0]), summary(&[2.5, 3.5, 4.5]));
        assert_eq!((low.upper, high.lower), (2.5, 3.0));
        assert!(!low.overlaps(high));
        assert!(low.overlaps(summary(&[2.5])));
    }

    #[test]
    fn each_item_comes_once_in_each_turn() {
        let order = interleaved(&[1, 2, 3], 4, &mut fastrand::Rng::with_seed(7));
        for turn in order.chunks(3) {
            let mut turn = turn.to_vec();
            turn.sort_unstable();
            assert_eq!(turn, [1, 2, 3]);
        }
        assert_eq!(order.len(), 12);
    }
}
