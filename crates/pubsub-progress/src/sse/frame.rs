//! Events as bytes, made once for all clients that are told the same.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::body::Bytes;
use parking_lot::Mutex;

use super::cursor::{Seen, id_of_one};
use crate::event::Event;
use crate::position::Position;

/// How many are kept: clients that keep up want the same few.
const KEPT: usize = 8;

/// What the clients of one job were told last.
#[derive(Default)]
pub(crate) struct Frames(Mutex<VecDeque<Made>>);

struct Made {
    name: &'static str,
    at: Position,
    json: Arc<str>,
    frame: Bytes,
}

impl Made {
    fn is(&self, name: &str, at: Position, json: &Arc<str>) -> bool {
        self.at == at && self.name == name && (Arc::ptr_eq(&self.json, json) || self.json == *json)
    }
}

impl Frames {
    /// The event for a client that watches this job alone.
    pub(super) fn get(&self, job: &str, event: &Event) -> Bytes {
        let (name, at, json) = (event.name(), event.position(), event.to_json());
        let mut made = self.0.lock();
        if let Some(found) = made.iter().rev().find(|made| made.is(name, at, &json)) {
            return found.frame.clone();
        }
        let frame = frame(&id_of_one(Seen { at, lost: is_lost(event) }), name, job, &json);
        if made.len() == KEPT {
            made.pop_front();
        }
        made.push_back(Made { name, at, json, frame: frame.clone() });
        frame
    }
}

pub(super) fn is_lost(event: &Event) -> bool {
    matches!(event, Event::Lost { .. })
}

/// JSON has no line feeds but those that are escaped, so one `data:` is enough.
pub(super) fn frame(id: &str, name: &str, job: &str, json: &str) -> Bytes {
    // Only strange types could fail here.
    let job = serde_json::to_string(job).unwrap_or_default();
    format!("id: {id}\nevent: {name}\ndata: {{\"job\":{job},\"data\":{json}}}\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_made_once_for_all_who_are_told_the_same_and_no_other_is_taken_for_it() {
        let frames = Frames::default();
        let gap = |from| Event::Gap { at: Position::new(1, 2, 3), from, to: 3 };
        let first = frames.get("a\nb", &gap(2));
        assert_eq!(
            &*first,
            b"id: 1:2:3\nevent: gap\ndata: {\"job\":\"a\\nb\",\"data\":{\"from\":2,\"to\":3}}\n\n"
        );
        assert_eq!(frames.get("a\nb", &gap(2)).as_ptr(), first.as_ptr());
        assert_ne!(frames.get("a\nb", &gap(1)), first);
        let lost = frames.get("a\nb", &Event::Lost { at: Position::new(1, 2, 3), snapshot: None });
        assert!(lost.starts_with(b"id: 1:2:3:lost\nevent: lost\n"), "{lost:?}");
        assert!(frames.get("a\nb", &Event::Pending { at: Position::START }).ends_with(b"\"data\":{}}\n\n"));
        for from in 4..100 {
            frames.get("a\nb", &gap(from));
        }
        assert_eq!(frames.0.lock().len(), KEPT);
    }
}
