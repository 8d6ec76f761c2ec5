//! Names without one of which a file has no place to find: most files need not be read a second time.

use std::collections::HashSet;

use super::declared::Route;
use super::legacy;
use super::members::Members;
use super::names::{Leads, Names, NodeId};
use super::types::{Nowhere, Ty};
use super::written::Written;

/// All names that may lead to a Redis client.
#[derive(Debug, Default)]
pub(super) struct Hints {
    words: HashSet<String>,
    /// Types of the tree that hand what they hold on without a name: by `Deref`, or as `.0`.
    clear: HashSet<(NodeId, String)>,
}

impl Hints {
    pub(super) fn of(names: &Names, members: &Members) -> Self {
        let mut hints = Self::default();
        hints.words.extend(legacy::TYPES.map(str::to_owned));
        hints.words.extend(names.packages.iter().flat_map(super::names::Externs::roots));
        // A type that is clear makes clear what holds it.
        loop {
            let before = (hints.words.len(), hints.clear.len());
            hints.add(names, members);
            if before == (hints.words.len(), hints.clear.len()) {
                return hints;
            }
        }
    }

    fn add(&mut self, names: &Names, members: &Members) {
        for (of, name, ty) in members.each() {
            if !self.leads(ty) {
                continue;
            }
            if name.starts_with(|first: char| first.is_ascii_digit() || first == '*') {
                self.clear.insert(of.clone());
            } else {
                // Of a variant's field the variant's name.
                let word = name.split("::").next().unwrap_or(name);
                self.words.insert(word.to_owned());
            }
        }
        for (at, node) in names.nodes.iter().enumerate() {
            let nowhere = Nowhere(Ty::Unknown);
            for (name, all) in &node.module.values {
                if all.iter().any(|it| self.leads(&names.type_of(at, it, &nowhere))) {
                    self.words.insert(name.clone());
                }
            }
            for name in node.module.types.keys().chain(node.module.uses.keys()) {
                let route = Route { is_global: false, names: vec![name.clone()] };
                let is_outside = match names.resolve(at, &route) {
                    Some(Leads::Outside(path)) => path.first().is_some_and(|root| legacy::is_root(root)),
                    _ => false,
                };
                let written = Written::Path { is_global: false, names: route.names, arguments: Vec::new() };
                if is_outside || self.leads(&names.type_of(at, &written, &nowhere)) {
                    self.words.insert(name.clone());
                }
            }
        }
    }

    fn leads(&self, ty: &Ty) -> bool {
        match ty {
            Ty::Legacy(_) | Ty::Shell(_) => true,
            Ty::Own(at, name) => self.clear.contains(&(*at, name.clone())),
            Ty::Cell(inner) | Ty::Many(inner) => self.leads(inner),
            Ty::Tuple(all) => all.iter().any(|it| self.leads(it)),
            Ty::Unknown => false,
        }
    }

    pub(super) fn is_in(&self, text: &str) -> bool {
        let words = text.split(|char: char| !(char.is_alphanumeric() || char == '_'));
        words.into_iter().any(|word| self.words.contains(word) || legacy::is_distinctive(word))
    }
}
