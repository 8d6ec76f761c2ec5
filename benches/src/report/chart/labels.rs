//! Labels beside the ends of curves, none upon another.

/// A label: the place that it would like, and how much room it takes below that.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish {
    pub(super) place: f64,
    pub(super) height: f64,
}

/// Places near the wanted ones, in their order: none overlaps the next, and none reaches below `bottom`.
pub(super) fn apart(wishes: &[Wish], bottom: f64) -> Vec<f64> {
    let mut order: Vec<_> = (0..wishes.len()).collect();
    order.sort_by(|a, b| wishes[*a].place.total_cmp(&wishes[*b].place));
    let mut places: Vec<_> = wishes.iter().map(|wish| wish.place).collect();

    let mut free_from = f64::NEG_INFINITY;
    for &label in &order {
        places[label] = places[label].max(free_from);
        free_from = places[label] + wishes[label].height;
    }
    let mut free_to = bottom;
    for &label in order.iter().rev() {
        places[label] = places[label].min(free_to - wishes[label].height);
        free_to = places[label];
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_ten(places: [f64; 3]) -> [Wish; 3] {
        places.map(|place| Wish { place, height: 10.0 })
    }

    #[test]
    fn labels_that_have_room_stay_where_they_are() {
        assert_eq!(apart(&of_ten([10.0, 80.0, 40.0]), 100.0), [10.0, 80.0, 40.0]);
    }

    #[test]
    fn labels_that_have_none_are_moved_apart_in_their_order_and_above_the_bottom() {
        assert_eq!(apart(&of_ten([50.0, 49.0, 52.0]), 100.0), [59.0, 49.0, 69.0]);
        assert_eq!(apart(&of_ten([98.0, 99.0, 20.0]), 100.0), [80.0, 90.0, 20.0]);
    }

    #[test]
    fn a_tall_label_pushes_the_next_one_further() {
        let mut wishes = of_ten([10.0, 15.0, 60.0]);
        wishes[0].height = 30.0;
        assert_eq!(apart(&wishes, 100.0), [10.0, 40.0, 60.0]);
    }
}
