//! From figures to places on the card.

/// Up to six round steps from zero to just above `largest`.
pub(super) fn ticks(largest: f64) -> Vec<f64> {
    let rough = largest / 5.0;
    let magnitude = 10_f64.powf(rough.log10().floor());
    let step =
        [1.0, 2.0, 2.5, 5.0, 10.0].map(|factor| factor * magnitude).into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(rough);
    let count = (largest / step - 1e-9).ceil() as usize;
    (0..=count).map(|tick| tick as f64 * step).collect()
}

/// A straight line from figures to places.
#[derive(Debug, Clone, Copy)]
pub(super) struct Linear {
    pub(super) figures: (f64, f64),
    pub(super) places: (f64, f64),
}

impl Linear {
    pub(super) fn place(self, figure: f64) -> f64 {
        let (first, last) = self.figures;
        let (from, to) = self.places;
        // One figure alone stands in the middle.
        let share = if first == last { 0.5 } else { (figure - first) / (last - first) };
        from + share * (to - from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_reach_the_largest() {
        assert_eq!(ticks(1_269.0), [0.0, 500.0, 1000.0, 1500.0]);
        assert_eq!(ticks(104.0), [0.0, 25.0, 50.0, 75.0, 100.0, 125.0]);
        assert_eq!(ticks(1000.0), [0.0, 200.0, 400.0, 600.0, 800.0, 1000.0]);
        for largest in [0.003, 1.0, 7.0, 99.9, 123_456.0] {
            let ticks = ticks(largest);
            assert!(
                ticks.last().is_some_and(|last| *last >= largest && *last < 2.1 * largest),
                "{largest}: {ticks:?}"
            );
            assert!((3..=6).contains(&ticks.len()), "{largest}: {ticks:?}");
        }
    }

    #[test]
    fn one_figure_alone_stands_in_the_middle() {
        let scale = Linear { figures: (0.0, 10.0), places: (100.0, 0.0) };
        assert_eq!((scale.place(0.0), scale.place(2.5), scale.place(10.0)), (100.0, 75.0, 0.0));
        assert_eq!(Linear { figures: (64.0, 64.0), ..scale }.place(64.0), 50.0);
    }
}
