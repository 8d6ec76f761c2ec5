//! Which functions a request runs through: the handlers, and whatever they call.

use std::collections::{HashMap, HashSet};

use super::declared::{Call, Function, Route};
use super::names::{Leads, Names, NodeId};
use super::types::{Nowhere, Ty};
use super::written::Written;

/// A function: its module or that of its type, the type, its name.
pub(super) type Key = (NodeId, Option<String>, String);

/// The functions that run for each request.
#[derive(Debug, Default)]
pub(super) struct Requests(HashSet<Key>);

/// Method names that std's types have, too: nobody knows whose is called.
const COMMON: [&str; 26] = [
    "new", "default", "get", "set", "insert", "remove", "push", "pop", "len", "clone", "from", "into",
    "next", "map", "and_then", "unwrap", "expect", "iter", "recv", "lock", "take", "clear", "contains",
    "join", "poll", "as_ref",
];

impl Requests {
    pub(super) fn of(names: &Names) -> Self {
        let mut all: HashMap<Key, Vec<(NodeId, &Function)>> = HashMap::new();
        let mut methods: HashMap<(usize, &str, usize), HashSet<Key>> = HashMap::new();
        let mut open = Vec::new();
        for (at, node) in names.nodes.iter().enumerate() {
            for function in &node.module.functions {
                let key = key(names, at, function.of.as_ref(), &function.name);
                if function.of.is_some() && !COMMON.contains(&function.name.as_str()) {
                    methods
                        .entry((node.package, &function.name, function.arguments))
                        .or_default()
                        .insert(key.clone());
                }
                if function.is_handler {
                    open.push(key.clone());
                }
                all.entry(key).or_default().push((at, function));
            }
        }
        for (at, function) in names
            .nodes
            .iter()
            .enumerate()
            .flat_map(|(at, node)| node.module.functions.iter().map(move |function| (at, function)))
        {
            for call in &function.calls {
                if let Call::Routed(route) = call {
                    open.extend(leads(names, at, function, route));
                }
            }
        }
        let mut found = HashSet::new();
        while let Some(key) = open.pop() {
            let Some(functions) = all.get(&key) else { continue };
            if !found.insert(key) {
                continue;
            }
            for (at, function) in functions {
                for call in &function.calls {
                    match call {
                        Call::Path(route) => open.extend(leads(names, *at, function, route)),
                        Call::Method(name, count) => {
                            let package = names.nodes[*at].package;
                            let only =
                                methods.get(&(package, name.as_str(), *count)).filter(|it| it.len() == 1);
                            open.extend(only.into_iter().flatten().cloned());
                        }
                        Call::Routed(_) => {}
                    }
                }
            }
        }
        Self(found)
    }

    pub(super) fn contains(&self, key: &Key) -> bool {
        self.0.contains(key)
    }
}

pub(super) fn key(names: &Names, at: NodeId, of: Option<&Written>, name: &str) -> Key {
    match of {
        None => (at, None, name.to_owned()),
        Some(of) => match names.type_of(at, of, &Nowhere(Ty::Unknown)) {
            Ty::Own(at, of) => (at, Some(of), name.to_owned()),
            _ => (at, Some(of.last().unwrap_or_default().to_owned()), name.to_owned()),
        },
    }
}

fn leads(names: &Names, at: NodeId, from: &Function, route: &Route) -> Option<Key> {
    if let Some(Leads::Value(at, name)) = names.resolve(at, route) {
        return Some((at, None, name));
    }
    let (last, before) = route.names.split_last()?;
    if before.is_empty() {
        return None;
    }
    let of = Written::Path { is_global: route.is_global, names: before.to_vec(), arguments: Vec::new() };
    let itself = match &from.of {
        Some(of) => names.type_of(at, of, &Nowhere(Ty::Unknown)),
        None => Ty::Unknown,
    };
    match names.type_of(at, &of, &Nowhere(itself)) {
        Ty::Own(at, of) => Some((at, Some(of), last.clone())),
        _ => None,
    }
}
