//! Where a path leads: through modules, `use`, re-exports and globs, across the crates of the tree.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::declared::{Declared, Module, Route, TypeOf};
use super::legacy;
use super::tree::Tree;
use super::written::Written;

/// A module, by its number among all of the tree's.
pub(super) type NodeId = usize;

/// All modules of all crates.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) nodes: Vec<Node>,
    pub(super) packages: Vec<Externs>,
    /// The module that a file is, and those within it in the file's order.
    pub(super) of_file: Vec<Option<Vec<NodeId>>>,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) package: usize,
    pub(super) parent: Option<NodeId>,
    pub(super) children: HashMap<String, Vec<NodeId>>,
    /// Where its globs lead: modules, and places outside.
    globs: Vec<Leads>,
    pub(super) module: Module,
    /// Of a file: whether all that name it as theirs do so for tests.
    pub(super) is_for_tests: Option<bool>,
}

/// The names of other crates in a crate.
#[derive(Debug, Default)]
pub(super) struct Externs {
    packages: HashMap<String, String>,
    local: HashMap<String, usize>,
    pub(super) library: Option<NodeId>,
    /// Whether it has a way to a Redis client at all.
    pub(super) is_concerned: bool,
    /// A pool of something unknown can only be one of Redis.
    pub(super) pools_are_redis: bool,
}

impl Externs {
    /// The names by which code of the crate reaches a client.
    pub(super) fn roots(&self) -> impl Iterator<Item = String> + '_ {
        self.packages.iter().filter(|(_, package)| legacy::is_root(package)).map(|(name, _)| name.clone())
    }
}

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Leads {
    /// Out of the tree, by its own place.
    Outside(Vec<String>),
    Module(NodeId),
    Type(NodeId, String),
    Value(NodeId, String),
}

/// One path's way.
#[derive(Debug, Default)]
struct Search {
    found: Vec<Leads>,
    /// Modules behind whose globs it was looked for: many lead to the same.
    globs: HashSet<(NodeId, Vec<String>)>,
    steps: usize,
}

/// Steps that a path may take, one after the other, and in all. Two names may lead to each other.
const STEPS: usize = 24;
const STEPS_IN_ALL: usize = 2_000;
const GLOBS_BEHIND_GLOBS: usize = 3;

impl Names {
    pub(super) fn new(tree: &Tree) -> Self {
        let mut names = Self { of_file: tree.sources.iter().map(|_| None).collect(), ..Self::default() };
        let by_name: BTreeMap<String, usize> =
            tree.packages.iter().enumerate().map(|(number, it)| (it.name.clone(), number)).collect();
        // A client's calls are known by the client's name, whoever is in its place, and the shim's types by ours.
        let is_outside =
            |package: &str| legacy::is_client(package) || package.replace('-', "_") == legacy::SHIM;
        let in_tree = |package: &str| by_name.get(package).filter(|_| !is_outside(package));
        for (number, package) in tree.packages.iter().enumerate() {
            let mut externs = Externs::default();
            match &package.manifest {
                None => {
                    externs.is_concerned = true;
                    externs.pools_are_redis = true;
                    for known in
                        ["redis", "deadpool_redis", "bb8_redis", "r2d2_redis", "r2d2", "deadpool", "bb8"]
                    {
                        externs.packages.insert(known.to_owned(), known.to_owned());
                    }
                }
                Some(manifest) => {
                    let own = manifest.lib.clone().or_else(|| manifest.name.clone()).unwrap_or_default();
                    externs.local.insert(own.replace('-', "_"), number);
                    for dependency in &manifest.dependencies {
                        let key = dependency.key.replace('-', "_");
                        match in_tree(&dependency.package) {
                            Some(other) => externs.local.insert(key, *other).map(drop),
                            None => {
                                externs.packages.insert(key, dependency.package.replace('-', "_")).map(drop)
                            }
                        };
                    }
                    let others = |it: &str| {
                        it.contains("r2d2_") && it != "r2d2_redis"
                            || it.contains("deadpool_") && it != "deadpool_redis" && it != "deadpool_runtime"
                            || it.contains("bb8_") && it != "bb8_redis"
                            || it == "diesel"
                            || it == "diesel_async"
                    };
                    let all = || externs.packages.values();
                    externs.is_concerned = all().any(|it| legacy::is_root(it));
                    externs.pools_are_redis =
                        all().any(|it| it.contains("redis")) && !all().any(|it| others(it));
                }
            }
            names.packages.push(externs);
        }
        names.spread_concern();
        names
    }

    /// Who depends on a crate that has a way has one too.
    fn spread_concern(&mut self) {
        loop {
            let is_new = |externs: &Externs| {
                !externs.is_concerned && externs.local.values().any(|it| self.packages[*it].is_concerned)
            };
            let Some(number) = self.packages.iter().position(is_new) else { return };
            self.packages[number].is_concerned = true;
        }
    }

    pub(super) fn add(&mut self, file: usize, package: usize, declared: Declared) {
        let first = self.nodes.len();
        let mut own = Vec::new();
        for (index, module) in declared.modules.into_iter().enumerate() {
            let parent = module.parent.map(|it| first + it);
            if let Some(parent) = parent {
                let children = &mut self.nodes[parent].children;
                children.entry(module.name.clone()).or_default().push(first + index);
            }
            own.push(first + index);
            self.nodes.push(Node {
                package,
                parent,
                children: HashMap::new(),
                globs: Vec::new(),
                module,
                is_for_tests: None,
            });
        }
        // What is only included is not known from the beginning.
        if self.of_file.len() <= file {
            self.of_file.resize(file + 1, None);
        }
        self.of_file[file] = Some(own);
    }

    /// Finds out where globs lead. One may lead through another.
    pub(super) fn open_globs(&mut self) {
        for _ in 0..GLOBS_BEHIND_GLOBS {
            for node in 0..self.nodes.len() {
                let routes = &self.nodes[node].module.globs;
                let opened = routes.iter().filter_map(|route| self.resolve(node, route)).collect();
                self.nodes[node].globs = opened;
            }
        }
    }

    /// The module of the shim that a name of this module leads into: `cenote_compat_shim::r2d2`.
    pub(super) fn shims(&self, node: NodeId) -> impl Iterator<Item = String> + '_ {
        let module = &self.nodes[node].module;
        let named = module.uses.keys().map(|name| Route { is_global: false, names: vec![name.clone()] });
        named.chain(module.globs.iter().cloned()).filter_map(move |route| {
            match self.resolve(node, &route)? {
                Leads::Outside(path) if path.len() > 1 && path[0] == legacy::SHIM => {
                    Some(path[..2].join("::"))
                }
                _ => None,
            }
        })
    }

    /// Whether this module, or one that it is in, is for tests alone.
    pub(super) fn is_test(&self, node: NodeId) -> bool {
        let above = std::iter::successors(Some(node), |&node| self.nodes[node].parent);
        above.map(|it| &self.nodes[it]).any(|it| it.module.is_test || it.is_for_tests == Some(true))
    }

    fn root(&self, mut node: NodeId) -> NodeId {
        while let Some(parent) = self.nodes[node].parent {
            node = parent;
        }
        node
    }

    /// The best of where a path leads: a legacy client, if one of several `cfg`s leads to it.
    pub(super) fn resolve(&self, node: NodeId, route: &Route) -> Option<Leads> {
        let mut search = Search::default();
        self.walk(node, route.is_global, &route.names, STEPS, &mut search);
        let mut all = search.found;
        let is_legacy =
            |leads: &Leads| matches!(leads, Leads::Outside(path) if legacy::named(path).is_some());
        all.iter()
            .position(is_legacy)
            .or(if all.is_empty() { None } else { Some(0) })
            .map(|at| all.swap_remove(at))
    }

    fn walk(&self, node: NodeId, is_global: bool, path: &[String], steps: usize, search: &mut Search) {
        let (Some(first), Some(steps)) = (path.first(), steps.checked_sub(1)) else { return };
        search.steps += 1;
        if search.steps > STEPS_IN_ALL {
            return;
        }
        if is_global {
            return self.outside(node, path, steps, search);
        }
        let rest = &path[1..];
        match first.as_str() {
            "crate" => self.within(self.root(node), rest, steps, search),
            "self" => self.within(node, rest, steps, search),
            "super" => {
                let mut node = self.nodes[node].parent.unwrap_or(node);
                let mut rest = rest;
                while rest.first().is_some_and(|it| it == "super") {
                    node = self.nodes[node].parent.unwrap_or(node);
                    rest = &rest[1..];
                }
                self.within(node, rest, steps, search);
            }
            _ => {
                let before = search.found.len();
                self.within(node, path, steps, search);
                if search.found.len() == before {
                    self.outside(node, path, steps, search);
                }
            }
        }
    }

    /// By the names of other crates.
    fn outside(&self, node: NodeId, path: &[String], steps: usize, search: &mut Search) {
        let externs = &self.packages[self.nodes[node].package];
        if let Some(package) = externs.packages.get(&path[0]) {
            let mut out = vec![package.clone()];
            out.extend_from_slice(&path[1..]);
            search.found.push(Leads::Outside(legacy::canonical(out)));
        } else if let Some(library) = externs.local.get(&path[0]).and_then(|it| self.packages[*it].library) {
            self.within(library, &path[1..], steps, search);
        }
    }

    /// By the names of a module.
    fn within(&self, node: NodeId, path: &[String], steps: usize, search: &mut Search) {
        let Some(steps) = steps.checked_sub(1) else { return };
        let Some((first, rest)) = path.split_first() else { return search.found.push(Leads::Module(node)) };
        let here = &self.nodes[node];
        let before = search.found.len();
        for child in here.children.get(first).into_iter().flatten() {
            self.within(*child, rest, steps, search);
        }
        for route in here.module.uses.get(first).into_iter().flatten() {
            let mut path = route.names.clone();
            path.extend_from_slice(rest);
            // `use redis::redis` would look for itself.
            if route.names.first() == Some(first) && !route.is_global {
                self.outside(node, &path, steps, search);
                if search.found.len() == before {
                    self.siblings(node, &path, steps, search);
                }
            } else {
                self.walk(node, route.is_global, &path, steps, search);
            }
        }
        if here.module.types.contains_key(first) && rest.is_empty() {
            search.found.push(Leads::Type(node, first.clone()));
        }
        if here.module.values.contains_key(first) && rest.is_empty() {
            search.found.push(Leads::Value(node, first.clone()));
        }
        let is_ours = here.module.types.contains_key(first) || here.children.contains_key(first);
        let has_globs = !here.globs.is_empty();
        if search.found.len() > before || is_ours || !has_globs || !search.globs.insert((node, path.to_vec()))
        {
            return;
        }
        for glob in &here.globs {
            match glob {
                Leads::Module(other) => self.within(*other, path, steps, search),
                // Nobody knows what else is behind a foreign glob.
                Leads::Outside(before) => {
                    let out = legacy::canonical([before.as_slice(), path].concat());
                    if is_known(&out) {
                        search.found.push(Leads::Outside(out));
                    }
                }
                Leads::Type(..) | Leads::Value(..) => {}
            }
        }
    }

    /// `use redis::Client` in a module beside `mod redis`.
    fn siblings(&self, node: NodeId, path: &[String], steps: usize, search: &mut Search) {
        for child in self.nodes[node].children.get(&path[0]).into_iter().flatten() {
            self.within(*child, &path[1..], steps, search);
        }
    }

    pub(super) fn struct_at(
        &self,
        node: NodeId,
        name: &str,
    ) -> impl Iterator<Item = &HashMap<String, Written>> {
        self.nodes[node].module.types.get(name).into_iter().flatten().filter_map(|it| match it {
            TypeOf::Struct(fields) => Some(fields),
            _ => None,
        })
    }

    pub(super) fn alias_at(&self, node: NodeId, name: &str) -> impl Iterator<Item = &Written> {
        self.nodes[node].module.types.get(name).into_iter().flatten().filter_map(|it| match it {
            TypeOf::Alias(written) => Some(written),
            _ => None,
        })
    }
}

/// A type that matters, or the module of one.
fn is_known(path: &[String]) -> bool {
    let is_module = |path: &[String]| {
        matches!(
            path.last().map(String::as_str),
            Some("aio" | "cluster" | "cluster_async" | "sentinel" | "managed")
        ) || path.len() == 1
    };
    legacy::named(path).is_some() || (path.first().is_some_and(|it| legacy::is_root(it)) && is_module(path))
}
