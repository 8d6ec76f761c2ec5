//! The names that a function has for itself: its variables, and what it uses and declares inside.

use std::collections::HashMap;

use syn::Item;

use super::declared::{Route, routes_of};
use super::types::{Nearby, Ty};
use super::written::{Written, name};

#[derive(Debug, Default)]
pub(super) struct Scopes {
    blocks: Vec<Block>,
    /// What `Self` is.
    itself: Ty,
}

#[derive(Debug, Default)]
struct Block {
    variables: HashMap<String, Ty>,
    uses: HashMap<String, Vec<Route>>,
    globs: Vec<Route>,
    aliases: HashMap<String, Written>,
}

impl Scopes {
    pub(super) fn new(itself: Ty) -> Self {
        Self { blocks: vec![Block::default()], itself }
    }

    /// For a function within a function: it sees what is used there, and no variables.
    pub(super) fn nested(&self, itself: Ty) -> Self {
        let blocks = self.blocks.iter().map(|block| Block {
            variables: HashMap::new(),
            uses: block.uses.clone(),
            globs: block.globs.clone(),
            aliases: block.aliases.clone(),
        });
        Self { blocks: blocks.chain([Block::default()]).collect(), itself }
    }

    pub(super) fn enter(&mut self) {
        self.blocks.push(Block::default());
    }

    pub(super) fn leave(&mut self) {
        self.blocks.pop();
    }

    pub(super) fn bind(&mut self, name: String, ty: Ty) {
        if let Some(block) = self.blocks.last_mut() {
            block.variables.insert(name, ty);
        }
    }

    /// A variable that was declared without a value has one now.
    pub(super) fn assign(&mut self, name: &str, ty: Ty) {
        let known = self.blocks.iter_mut().rev().find_map(|block| block.variables.get_mut(name));
        if let Some(known) = known.filter(|known| !known.is_known()) {
            *known = ty;
        }
    }

    /// `None` if no variable is called so.
    pub(super) fn local(&self, name: &str) -> Option<Ty> {
        self.blocks.iter().rev().find_map(|block| block.variables.get(name)).cloned()
    }

    /// What stands before it holds in all of its block.
    pub(super) fn declare(&mut self, item: &Item) {
        let Some(block) = self.blocks.last_mut() else { return };
        match item {
            Item::Use(it) => {
                let mut routes = Vec::new();
                routes_of(&it.tree, &mut Vec::new(), &mut routes);
                for (name, names) in routes {
                    let route = Route { is_global: it.leading_colon.is_some(), names };
                    match name {
                        Some(name) => block.uses.entry(name).or_default().push(route),
                        None => block.globs.push(route),
                    }
                }
            }
            Item::Type(it) => drop(block.aliases.insert(name(&it.ident), Written::of(&it.ty))),
            Item::Struct(it) => drop(block.aliases.insert(name(&it.ident), Written::Unknown)),
            Item::Enum(it) => drop(block.aliases.insert(name(&it.ident), Written::Unknown)),
            _ => {}
        }
    }
}

impl Nearby for Scopes {
    fn route(&self, name: &str) -> Vec<Route> {
        for block in self.blocks.iter().rev() {
            if let Some(routes) = block.uses.get(name) {
                return routes.clone();
            }
        }
        let globs = self.blocks.iter().rev().flat_map(|block| &block.globs);
        globs
            .map(|glob| {
                let mut names = glob.names.clone();
                names.push(name.to_owned());
                Route { is_global: glob.is_global, names }
            })
            .collect()
    }

    fn alias(&self, name: &str) -> Option<Written> {
        self.blocks.iter().rev().find_map(|block| block.aliases.get(name)).cloned()
    }

    fn itself(&self) -> Ty {
        self.itself.clone()
    }
}
