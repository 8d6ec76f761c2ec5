//! The three collections. Each knows what it is charged, so that a bound on bytes costs no walk.

use std::collections::{HashMap, HashSet, VecDeque};

use hashbrown::DefaultHashBuilder;

/// Bytes that each field, member or element is charged beside its own.
pub(crate) const ELEMENT_OVERHEAD: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct HashValue {
    fields: HashMap<Box<[u8]>, Vec<u8>, DefaultHashBuilder>,
    bytes: usize,
}

impl HashValue {
    pub(crate) fn get(&self, field: &[u8]) -> Option<&Vec<u8>> {
        self.fields.get(field)
    }

    /// By how many bytes `set` would make the hash grow.
    pub(crate) fn growth(&self, field: &[u8], value: &[u8]) -> usize {
        self.get(field)
            .map_or(field.len() + value.len() + ELEMENT_OVERHEAD, |old| value.len().saturating_sub(old.len()))
    }

    /// Whether the field is new.
    pub(crate) fn set(&mut self, field: &[u8], value: &[u8]) -> bool {
        if let Some(old) = self.fields.get_mut(field) {
            self.bytes = self.bytes - old.len() + value.len();
            *old = value.to_vec();
            return false;
        }
        self.bytes += field.len() + value.len() + ELEMENT_OVERHEAD;
        self.fields.insert(field.into(), value.to_vec()).is_none()
    }

    pub(crate) fn remove(&mut self, field: &[u8]) -> bool {
        let Some(value) = self.fields.remove(field) else { return false };
        self.bytes -= field.len() + value.len() + ELEMENT_OVERHEAD;
        true
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|(field, value)| (&**field, &**value))
    }

    pub(crate) fn len(&self) -> usize {
        self.fields.len()
    }

    pub(crate) fn charged(&self) -> usize {
        self.bytes
    }
}

#[derive(Debug, Default)]
pub(crate) struct SetValue {
    members: HashSet<Box<[u8]>, DefaultHashBuilder>,
    bytes: usize,
}

impl SetValue {
    pub(crate) fn contains(&self, member: &[u8]) -> bool {
        self.members.contains(member)
    }

    /// By how many bytes `add` would make the set grow.
    pub(crate) fn growth(&self, member: &[u8]) -> usize {
        if self.contains(member) { 0 } else { member.len() + ELEMENT_OVERHEAD }
    }

    /// Whether the member is new.
    pub(crate) fn add(&mut self, member: &[u8]) -> bool {
        let new = !self.contains(member) && self.members.insert(member.into());
        self.bytes += if new { member.len() + ELEMENT_OVERHEAD } else { 0 };
        new
    }

    pub(crate) fn remove(&mut self, member: &[u8]) -> bool {
        let removed = self.members.remove(member);
        self.bytes -= if removed { member.len() + ELEMENT_OVERHEAD } else { 0 };
        removed
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.members.iter().map(|member| &**member)
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn charged(&self) -> usize {
        self.bytes
    }
}

impl<'a> FromIterator<&'a [u8]> for SetValue {
    fn from_iter<I: IntoIterator<Item = &'a [u8]>>(members: I) -> Self {
        let mut set = Self::default();
        for member in members {
            set.add(member);
        }
        set
    }
}

#[derive(Debug, Default)]
pub(crate) struct ListValue {
    elements: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl ListValue {
    pub(crate) fn push(&mut self, end: End, element: &[u8]) {
        self.bytes += element.len() + ELEMENT_OVERHEAD;
        match end {
            End::Left => self.elements.push_front(element.to_vec()),
            End::Right => self.elements.push_back(element.to_vec()),
        }
    }

    pub(crate) fn pop(&mut self, end: End) -> Option<Vec<u8>> {
        let element = match end {
            End::Left => self.elements.pop_front(),
            End::Right => self.elements.pop_back(),
        }?;
        self.bytes -= element.len() + ELEMENT_OVERHEAD;
        Some(element)
    }

    pub(crate) fn insert(&mut self, index: usize, element: &[u8]) {
        self.bytes += element.len() + ELEMENT_OVERHEAD;
        self.elements.insert(index.min(self.len()), element.to_vec());
    }

    pub(crate) fn set(&mut self, index: usize, element: &[u8]) {
        if let Some(old) = self.elements.get_mut(index) {
            self.bytes = self.bytes - old.len() + element.len();
            *old = element.to_vec();
        }
    }

    /// Removes up to `count` elements equal to `element`, beginning at `end`; how many were removed.
    pub(crate) fn remove(&mut self, element: &[u8], count: usize, end: End) -> usize {
        let equal = self.elements.iter().filter(|other| *other == element).count();
        let removed = equal.min(count);
        let skipped = if end == End::Left { 0 } else { equal - removed };
        let mut seen = 0;
        self.elements.retain(|other| {
            let hit = other == element;
            seen += usize::from(hit);
            !(hit && seen > skipped && seen <= skipped + removed)
        });
        self.bytes -= removed * (element.len() + ELEMENT_OVERHEAD);
        removed
    }

    pub(crate) fn keep(&mut self, from: usize, to: usize) {
        let kept = self.len().min(to);
        self.elements.truncate(kept);
        self.elements.drain(..from.min(kept));
        self.bytes = self.elements.iter().map(|element| element.len() + ELEMENT_OVERHEAD).sum();
    }

    pub(crate) fn get(&self, index: usize) -> Option<&Vec<u8>> {
        self.elements.get(index)
    }

    pub(crate) fn position(&self, element: &[u8]) -> Option<usize> {
        self.elements.iter().position(|other| other == element)
    }

    pub(crate) fn slice(&self, from: usize, to: usize) -> impl Iterator<Item = &Vec<u8>> {
        self.elements.iter().take(to).skip(from)
    }

    pub(crate) fn len(&self) -> usize {
        self.elements.len()
    }

    pub(crate) fn charged(&self) -> usize {
        self.bytes
    }
}

/// One of a list's two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Left,
    Right,
}
