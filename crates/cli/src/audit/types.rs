//! What type a written type is, as far as a Redis client is in it.

use super::declared::Route;
use super::legacy::{self, Legacy, Named, Shell};
use super::names::{Leads, Names, NodeId};
use super::written::Written;

/// A type, seen through its references, its smart pointers and whatever else holds one of something.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Ty {
    Legacy(Legacy),
    /// A pool of some database.
    Shell(Shell),
    /// A type of the tree.
    Own(NodeId, String),
    /// A cell that is filled once: its `get` gives what is inside.
    Cell(Box<Ty>),
    Many(Box<Ty>),
    Tuple(Vec<Ty>),
    #[default]
    Unknown,
}

const CELLS: [&str; 4] = ["OnceCell", "OnceLock", "SetOnce", "AsyncOnceCell"];
const COLLECTIONS: [&str; 14] = [
    "Vec",
    "VecDeque",
    "HashMap",
    "BTreeMap",
    "DashMap",
    "IndexMap",
    "FxHashMap",
    "AHashMap",
    "SmallVec",
    "ArrayVec",
    "LinkedList",
    "Slab",
    "LruCache",
    "Cache",
];

const STEPS: usize = 16;

impl Ty {
    pub(super) fn is_known(&self) -> bool {
        *self != Self::Unknown
    }

    /// What is in it, if it holds many.
    pub(super) fn element(self) -> Self {
        match self {
            Self::Many(inner) => *inner,
            other => other,
        }
    }
}

/// Names of a function's own: looked up before those of its module.
pub(super) trait Nearby {
    fn route(&self, name: &str) -> Vec<Route>;
    fn alias(&self, name: &str) -> Option<Written>;
    /// What `Self` is.
    fn itself(&self) -> Ty;
}

/// Nothing nearby.
pub(super) struct Nowhere(pub(super) Ty);

impl Nearby for Nowhere {
    fn route(&self, _: &str) -> Vec<Route> {
        Vec::new()
    }

    fn alias(&self, _: &str) -> Option<Written> {
        None
    }

    fn itself(&self) -> Ty {
        self.0.clone()
    }
}

impl Names {
    pub(super) fn type_of(&self, node: NodeId, written: &Written, nearby: &dyn Nearby) -> Ty {
        self.type_within(node, written, nearby, STEPS)
    }

    fn type_within(&self, node: NodeId, written: &Written, nearby: &dyn Nearby, steps: usize) -> Ty {
        let Some(steps) = steps.checked_sub(1) else { return Ty::Unknown };
        let inner = |written: &Written| self.type_within(node, written, nearby, steps);
        match written {
            Written::Unknown => Ty::Unknown,
            Written::Tuple(all) => Ty::Tuple(all.iter().map(inner).collect()),
            Written::Many(one) => match inner(one) {
                Ty::Unknown => Ty::Unknown,
                known => Ty::Many(Box::new(known)),
            },
            Written::Path { is_global, names, arguments } => {
                let arguments: Vec<Ty> = arguments.iter().map(inner).collect();
                if let [only] = names.as_slice()
                    && !is_global
                {
                    if only == "Self" {
                        return nearby.itself();
                    }
                    if let Some(alias) = nearby.alias(only) {
                        return inner(&alias);
                    }
                }
                let route = Route { is_global: *is_global, names: names.clone() };
                match self.leads(node, &route, nearby) {
                    Some(Leads::Outside(path)) => match legacy::named(&path) {
                        Some(Named::Legacy(it)) => Ty::Legacy(it),
                        Some(Named::Shell(it)) => shell(it, &arguments),
                        None => holder(path.last().map(String::as_str), arguments),
                    },
                    Some(Leads::Type(at, name)) => {
                        let nowhere = Nowhere(Ty::Unknown);
                        let aliases = self.alias_at(at, &name);
                        let aliases: Vec<Ty> =
                            aliases.map(|it| self.type_within(at, it, &nowhere, steps)).collect();
                        let is_alias = !aliases.is_empty();
                        match aliases.into_iter().find(Ty::is_known) {
                            Some(Ty::Shell(it)) => shell(it, &arguments),
                            Some(known) => known,
                            // `type Shared<T> = Arc<T>`.
                            None if is_alias => arguments.into_iter().next().unwrap_or_default(),
                            None => Ty::Own(at, name),
                        }
                    }
                    _ => holder(names.last().map(String::as_str), arguments),
                }
            }
        }
    }

    /// Where a path leads, by what is nearby and then by its module.
    pub(super) fn leads(&self, node: NodeId, route: &Route, nearby: &dyn Nearby) -> Option<Leads> {
        let mut foreign = None;
        if let Some(first) = route.names.first()
            && !route.is_global
        {
            for near in nearby.route(first) {
                let mut names = near.names;
                names.extend_from_slice(&route.names[1..]);
                match self.resolve(node, &Route { is_global: near.is_global, names }) {
                    // It may be behind a foreign glob, or not.
                    Some(Leads::Outside(path)) if legacy::named(&path).is_none() => {
                        foreign = foreign.or(Some(Leads::Outside(path)));
                    }
                    Some(found) => return Some(found),
                    None => {}
                }
            }
        }
        self.resolve(node, route).or(foreign)
    }
}

/// A pool's type with what it is a pool of.
pub(super) fn shell(shell: Shell, arguments: &[Ty]) -> Ty {
    match arguments.first() {
        None => Ty::Shell(shell),
        Some(Ty::Legacy(manager)) if manager.is_manager() => Ty::Legacy(shell.of_redis()),
        Some(_) => Ty::Unknown,
    }
}

/// Whatever holds something: only what it holds matters.
fn holder(name: Option<&str>, mut arguments: Vec<Ty>) -> Ty {
    let Some(name) = name else { return Ty::Unknown };
    if COLLECTIONS.contains(&name) {
        return match arguments.pop() {
            Some(known) if known.is_known() => Ty::Many(Box::new(known)),
            _ => Ty::Unknown,
        };
    }
    let inner = if arguments.is_empty() { Ty::Unknown } else { arguments.swap_remove(0) };
    if CELLS.contains(&name) && inner.is_known() {
        return Ty::Cell(Box::new(inner));
    }
    inner
}
