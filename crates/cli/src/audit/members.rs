//! What the fields and methods of a crate's own types are.

use std::collections::HashMap;

use super::names::{Names, NodeId};
use super::types::{Nowhere, Ty};

/// Of all crates.
#[derive(Debug, Default)]
pub(super) struct Members {
    of_type: HashMap<(NodeId, String), Own>,
    packages: Vec<ByName>,
}

/// Of one type.
#[derive(Debug, Default)]
struct Own {
    fields: HashMap<String, Ty>,
    methods: HashMap<String, Ty>,
    target: Ty,
}

/// What all members of a crate that are called so have in common.
#[derive(Debug, Default)]
struct ByName {
    fields: HashMap<String, Ty>,
    methods: HashMap<String, Ty>,
}

impl Members {
    pub(super) fn of(names: &Names) -> Self {
        let mut members = Self::default();
        members.packages.resize_with(names.packages.len(), ByName::default);
        for (at, node) in names.nodes.iter().enumerate() {
            let by_name = &mut members.packages[node.package];
            for name in node.module.types.keys() {
                let own = Ty::Own(at, name.clone());
                for (field, written) in names.struct_at(at, name).flatten() {
                    let ty = names.type_of(at, written, &Nowhere(own.clone()));
                    agree(&mut by_name.fields, field, &ty);
                    let of = members.of_type.entry((at, name.clone())).or_default();
                    of.fields.insert(field.clone(), ty);
                }
            }
            for function in &node.module.functions {
                let Some(of) = &function.of else { continue };
                let of = names.type_of(at, of, &Nowhere(Ty::Unknown));
                let returns = names.type_of(at, &function.returns, &Nowhere(of.clone()));
                agree(&mut by_name.methods, &function.name, &returns);
                if let Ty::Own(at, name) = of {
                    let of = members.of_type.entry((at, name)).or_default();
                    of.methods.insert(function.name.clone(), returns);
                }
            }
            for it in &node.module.implementations {
                let Some(target) = &it.target else { continue };
                let of = names.type_of(at, &it.of, &Nowhere(Ty::Unknown));
                let target = names.type_of(at, target, &Nowhere(of.clone()));
                if let Ty::Own(at, name) = of {
                    members.of_type.entry((at, name)).or_default().target = target;
                }
            }
        }
        members
    }

    /// A field of a value of this type, or of what it leads to.
    pub(super) fn field(&self, package: usize, base: &Ty, field: &str) -> Ty {
        match base {
            Ty::Own(at, name) => {
                let Some(own) = self.of_type.get(&(*at, name.clone())) else { return Ty::Unknown };
                match own.fields.get(field) {
                    Some(ty) => ty.clone(),
                    None if own.target.is_known() => self.field(package, &own.target, field),
                    // Of what a holder holds: `state.0`.
                    None if field == "0" => base.clone(),
                    None => Ty::Unknown,
                }
            }
            Ty::Tuple(all) => {
                let index = field.parse::<usize>().ok();
                index.and_then(|index| all.get(index)).cloned().unwrap_or_default()
            }
            Ty::Unknown => self.packages[package].fields.get(field).cloned().unwrap_or_default(),
            _ if field == "0" => base.clone(),
            _ => Ty::Unknown,
        }
    }

    /// What a method of this type returns; nothing if the type has no such method of its own.
    pub(super) fn method(&self, of: &Ty, method: &str) -> Option<&Ty> {
        match of {
            Ty::Own(at, name) => self.of_type.get(&(*at, name.clone()))?.methods.get(method),
            _ => None,
        }
    }

    pub(super) fn target(&self, of: &Ty) -> Ty {
        match of {
            Ty::Own(at, name) => {
                self.of_type.get(&(*at, name.clone())).map(|own| own.target.clone()).unwrap_or_default()
            }
            _ => Ty::Unknown,
        }
    }

    /// Every field and every method with its type, and `*` for what a type leads to.
    pub(super) fn each(&self) -> impl Iterator<Item = (&(NodeId, String), &str, &Ty)> {
        self.of_type.iter().flat_map(|(of, own)| {
            let all = own.fields.iter().chain(&own.methods).map(move |(name, ty)| (of, name.as_str(), ty));
            all.chain([(of, "*", &own.target)])
        })
    }

    /// What all methods of the crate that are called so return.
    pub(super) fn any_method(&self, package: usize, method: &str) -> Option<&Ty> {
        self.packages[package].methods.get(method)
    }
}

fn agree(known: &mut HashMap<String, Ty>, name: &str, ty: &Ty) {
    match known.get_mut(name) {
        None => drop(known.insert(name.to_owned(), ty.clone())),
        Some(before) if before != ty => *before = Ty::Unknown,
        Some(_) => {}
    }
}
