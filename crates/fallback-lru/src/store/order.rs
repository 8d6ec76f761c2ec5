//! Who was used when: the places of a shard in one doubly linked list, the most recently used first.

/// Links are numbers of places, side by side in one vector: to move a place touches a few of its 8-byte neighbours and
/// no entry.
#[derive(Debug)]
pub(crate) struct Order {
    /// The first is none of a place but holds the two ends, so that no link is ever missing.
    links: Vec<Link>,
}

#[derive(Debug, Clone, Copy)]
struct Link {
    newer: u32,
    older: u32,
}

/// Between the newest and the oldest.
const ENDS: u32 = 0;

impl Order {
    /// Without any place.
    pub(crate) fn new() -> Self {
        Self { links: vec![Link { newer: ENDS, older: ENDS }] }
    }

    /// Makes room for the links of so many places in all.
    pub(crate) fn reserve(&mut self, places: usize) {
        self.links.reserve_exact((places + 1).saturating_sub(self.links.len()));
    }

    /// Takes in a place that is not in the list, as the most recently used. Its number is at most one above the
    /// highest so far.
    pub(crate) fn push(&mut self, place: u32) {
        let link = place + 1;
        if link as usize == self.links.len() {
            self.links.push(Link { newer: ENDS, older: ENDS });
        }
        self.link_first(link);
    }

    /// Makes it the most recently used.
    #[inline]
    pub(crate) fn promote(&mut self, place: u32) {
        let link = place + 1;
        if self.links[ENDS as usize].older != link {
            self.unlink(link);
            self.link_first(link);
        }
    }

    /// Takes it out.
    pub(crate) fn remove(&mut self, place: u32) {
        self.unlink(place + 1);
    }

    /// The least recently used.
    pub(crate) fn oldest(&self) -> Option<u32> {
        self.links[ENDS as usize].newer.checked_sub(1)
    }

    /// The most recently used first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        let behind = |link: u32| Some(self.links[link as usize].older).filter(|next| *next != ENDS);
        std::iter::successors(behind(ENDS), move |link| behind(*link)).map(|link| link - 1)
    }

    #[inline]
    fn unlink(&mut self, link: u32) {
        let Link { newer, older } = self.links[link as usize];
        self.links[newer as usize].older = older;
        self.links[older as usize].newer = newer;
    }

    #[inline]
    fn link_first(&mut self, link: u32) {
        let second = std::mem::replace(&mut self.links[ENDS as usize].older, link);
        self.links[second as usize].newer = link;
        self.links[link as usize] = Link { newer: ENDS, older: second };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(order: &Order) -> Vec<u32> {
        order.iter().collect()
    }

    #[test]
    fn what_is_used_comes_first_and_the_rest_keeps_its_order() {
        let mut order = Order::new();
        (0..4).for_each(|place| order.push(place));
        assert_eq!(places(&order), [3, 2, 1, 0]);
        for (used, after) in [(1, [1, 3, 2, 0]), (0, [0, 1, 3, 2]), (0, [0, 1, 3, 2])] {
            order.promote(used);
            assert_eq!(places(&order), after);
            assert_eq!(order.oldest(), after.last().copied());
        }
    }

    #[test]
    fn a_place_that_was_taken_out_can_be_used_again() {
        let mut order = Order::new();
        (0..3).for_each(|place| order.push(place));
        order.remove(1);
        assert_eq!(places(&order), [2, 0]);
        order.push(1);
        assert_eq!(places(&order), [1, 2, 0]);
        (0..3).for_each(|place| order.remove(place));
        assert_eq!((places(&order), order.oldest()), (vec![], None));
        order.push(2);
        assert_eq!((places(&order), order.oldest()), (vec![2], Some(2)));
    }
}
