//! Types and paths as they are written, without the syntax tree that they come from.

use syn::{GenericArgument, PathArguments, ReturnType, Type, TypeParamBound};

/// A type as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Written {
    Path {
        is_global: bool,
        names: Vec<String>,
        arguments: Vec<Written>,
    },
    Tuple(Vec<Written>),
    /// A slice or an array.
    Many(Box<Written>),
    #[default]
    Unknown,
}

impl Written {
    pub(super) fn of(ty: &Type) -> Self {
        match ty {
            Type::Reference(it) => Self::of(&it.elem),
            Type::Paren(it) => Self::of(&it.elem),
            Type::Group(it) => Self::of(&it.elem),
            Type::Ptr(it) => Self::of(&it.elem),
            Type::Tuple(it) => Self::Tuple(it.elems.iter().map(Self::of).collect()),
            Type::Slice(it) => Self::Many(Box::new(Self::of(&it.elem))),
            Type::Array(it) => Self::Many(Box::new(Self::of(&it.elem))),
            Type::Path(it) if it.qself.is_none() => Self::path(&it.path),
            Type::ImplTrait(it) => Self::bounds(it.bounds.iter()),
            Type::TraitObject(it) => Self::bounds(it.bounds.iter()),
            _ => Self::Unknown,
        }
    }

    pub(super) fn returned(output: &ReturnType) -> Self {
        match output {
            ReturnType::Default => Self::Unknown,
            ReturnType::Type(_, ty) => Self::of(ty),
        }
    }

    pub(super) fn path(path: &syn::Path) -> Self {
        // The arguments of a type may stand before its function: `Pool::<M>::builder`.
        let arguments = path.segments.iter().rev().find_map(|segment| match &segment.arguments {
            PathArguments::AngleBracketed(given) => Some(given),
            _ => None,
        });
        let arguments = arguments.into_iter().flat_map(|given| &given.args);
        let arguments = arguments.filter_map(|argument| match argument {
            GenericArgument::Type(ty) => Some(Self::of(ty)),
            _ => None,
        });
        Self::Path {
            is_global: path.leading_colon.is_some(),
            names: names(path),
            arguments: arguments.collect(),
        }
    }

    /// What a future gives, a smart pointer leads to: what a bound says. Otherwise the trait, which has methods too.
    fn bounds<'a>(bounds: impl Iterator<Item = &'a TypeParamBound>) -> Self {
        let mut of_trait = Self::Unknown;
        for bound in bounds {
            let TypeParamBound::Trait(bound) = bound else { continue };
            if of_trait == Self::Unknown {
                of_trait = Self::path(&bound.path);
            }
            for segment in &bound.path.segments {
                let PathArguments::AngleBracketed(given) = &segment.arguments else { continue };
                for argument in &given.args {
                    if let GenericArgument::AssocType(it) = argument {
                        return Self::of(&it.ty);
                    }
                }
            }
        }
        of_trait
    }

    /// The last name of its path.
    pub(super) fn last(&self) -> Option<&str> {
        match self {
            Self::Path { names, .. } => names.last().map(String::as_str),
            _ => None,
        }
    }
}

pub(super) fn names(path: &syn::Path) -> Vec<String> {
    path.segments.iter().map(|segment| name(&segment.ident)).collect()
}

/// Without the `r#` of a raw one.
pub(super) fn name(ident: &proc_macro2::Ident) -> String {
    let text = ident.to_string();
    text.strip_prefix("r#").map(str::to_owned).unwrap_or(text)
}
