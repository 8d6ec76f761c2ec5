//! What a file declares: the names of its modules, where they lead, and who calls whom.

use std::collections::HashMap;

use syn::visit::{self, Visit};
use syn::{Expr, Item, UseTree};

use super::handlers;
use super::macros::{self, Piece};
use super::scan::is_test;
use super::written::{Written, name, names};

/// A file's modules: the file itself first, then those within it.
#[derive(Debug, Default)]
pub(super) struct Declared {
    pub(super) modules: Vec<Module>,
}

#[derive(Debug, Default)]
pub(super) struct Module {
    /// Of the module that it is in, among the file's.
    pub(super) parent: Option<usize>,
    pub(super) name: String,
    /// It is for tests alone: `#[cfg(test)]`.
    pub(super) is_test: bool,
    /// `mod name;`.
    pub(super) files: Vec<InFile>,
    /// The paths of what is `include!`d.
    pub(super) included: Vec<String>,
    pub(super) uses: HashMap<String, Vec<Route>>,
    pub(super) globs: Vec<Route>,
    pub(super) types: HashMap<String, Vec<TypeOf>>,
    pub(super) values: HashMap<String, Vec<Written>>,
    pub(super) functions: Vec<Function>,
    pub(super) implementations: Vec<Implementation>,
}

/// A module in a file of its own.
#[derive(Debug)]
pub(super) struct InFile {
    pub(super) name: String,
    /// Its `#[path]`.
    pub(super) path: Option<String>,
    pub(super) is_test: bool,
}

/// A path that a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) is_global: bool,
    pub(super) names: Vec<String>,
}

#[derive(Debug)]
pub(super) enum TypeOf {
    Alias(Written),
    /// Or an enum, with the fields of its variants as [`in_variant`] calls them.
    Struct(HashMap<String, Written>),
    /// A trait, a union: nothing is known of it but that it is nobody else's.
    Other,
}

#[derive(Debug)]
pub(super) struct Function {
    /// The type whose function it is.
    pub(super) of: Option<Written>,
    pub(super) name: String,
    /// Without `self`.
    pub(super) arguments: usize,
    pub(super) returns: Written,
    pub(super) is_handler: bool,
    pub(super) calls: Vec<Call>,
}

#[derive(Debug)]
pub(super) struct Implementation {
    pub(super) of: Written,
    /// `Target` of a `Deref`.
    pub(super) target: Option<Written>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Call {
    Path(Route),
    /// With the number of its arguments.
    Method(String, usize),
    /// Named where handlers are: `get(show)`.
    Routed(Route),
}

impl Declared {
    pub(super) fn of(file: &syn::File) -> Self {
        let of_file = Module { is_test: is_test(&file.attrs), ..Module::default() };
        let mut declared = Self { modules: vec![of_file] };
        declared.read(0, &file.items);
        declared
    }

    fn read(&mut self, at: usize, items: &[Item]) {
        for item in items {
            match item {
                Item::Mod(it) => match &it.content {
                    Some((_, items)) => {
                        let (name, is_test) = (name(&it.ident), is_test(&it.attrs));
                        let module = Module { parent: Some(at), name, is_test, ..Module::default() };
                        self.modules.push(module);
                        let at = self.modules.len() - 1;
                        self.read(at, items);
                    }
                    None => {
                        let path = it.attrs.iter().find_map(path_of);
                        let (name, is_test) = (name(&it.ident), is_test(&it.attrs));
                        self.modules[at].files.push(InFile { name, path, is_test });
                    }
                },
                Item::Macro(it) if it.mac.path.is_ident("include") => {
                    // What a build script wrote is not in the tree.
                    let path = syn::parse2::<syn::LitStr>(it.mac.tokens.clone());
                    self.modules[at].included.extend(path.map(|path| path.value()));
                }
                Item::Macro(it) => {
                    for piece in macros::pieces(&it.mac.path, &it.mac.tokens) {
                        match piece {
                            Piece::Statements(all) => {
                                let items = all.into_iter().filter_map(|it| match it {
                                    syn::Stmt::Item(item) => Some(item),
                                    _ => None,
                                });
                                // A macro's own rules declare nothing where they stand.
                                if it.ident.is_none() {
                                    self.read(at, &items.collect::<Vec<_>>());
                                }
                            }
                            Piece::Static(name, ty, _) => self.value(at, name, Written::of(&ty)),
                            Piece::Expression(_) | Piece::Path(_) => {}
                        }
                    }
                }
                _ => self.item(at, item),
            }
        }
    }

    fn value(&mut self, at: usize, name: String, ty: Written) {
        self.modules[at].values.entry(name).or_default().push(ty);
    }

    fn item(&mut self, at: usize, item: &Item) {
        let module = &mut self.modules[at];
        let mut declare = |name: String, ty: TypeOf| module.types.entry(name).or_default().push(ty);
        match item {
            Item::Use(it) => {
                let mut routes = Vec::new();
                routes_of(&it.tree, &mut Vec::new(), &mut routes);
                for (name, names) in routes {
                    let route = Route { is_global: it.leading_colon.is_some(), names };
                    match name {
                        Some(name) => module.uses.entry(name).or_default().push(route),
                        None => module.globs.push(route),
                    }
                }
            }
            Item::ExternCrate(it) => {
                let route = Route { is_global: true, names: vec![name(&it.ident)] };
                let known = it.rename.as_ref().map_or(&it.ident, |(_, renamed)| renamed);
                if known != "self" && known != "_" && it.ident != "self" {
                    module.uses.entry(name(known)).or_default().push(route);
                }
            }
            Item::Type(it) => declare(name(&it.ident), TypeOf::Alias(Written::of(&it.ty))),
            Item::Struct(it) => {
                let fields = it.fields.iter().enumerate().map(|(index, field)| {
                    let name = field.ident.as_ref().map_or_else(|| index.to_string(), name);
                    (name, Written::of(&field.ty))
                });
                declare(name(&it.ident), TypeOf::Struct(fields.collect()));
            }
            Item::Enum(it) => {
                let fields = it.variants.iter().flat_map(|variant| {
                    let of = name(&variant.ident);
                    variant.fields.iter().enumerate().map(move |(index, field)| {
                        let name = field.ident.as_ref().map_or_else(|| index.to_string(), name);
                        (in_variant(&of, &name), Written::of(&field.ty))
                    })
                });
                declare(name(&it.ident), TypeOf::Struct(fields.collect()));
            }
            Item::Union(it) => declare(name(&it.ident), TypeOf::Other),
            Item::Trait(it) => {
                declare(name(&it.ident), TypeOf::Other);
                let of =
                    Written::Path { is_global: false, names: vec![name(&it.ident)], arguments: Vec::new() };
                for item in &it.items {
                    if let syn::TraitItem::Fn(it) = item {
                        let calls = it.default.as_ref().map(calls_in).unwrap_or_default();
                        let is_handler = handlers::is_handler(&it.attrs, &it.sig);
                        self.function(at, Some(of.clone()), &it.sig, is_handler, calls);
                    }
                }
            }
            Item::Static(it) => self.value(at, name(&it.ident), Written::of(&it.ty)),
            Item::Const(it) => self.value(at, name(&it.ident), Written::of(&it.ty)),
            Item::Fn(it) => {
                let is_handler = handlers::is_handler(&it.attrs, &it.sig);
                self.function(at, None, &it.sig, is_handler, calls_in(&it.block));
            }
            Item::Impl(it) => self.implementation(at, it),
            _ => {}
        }
    }

    fn function(
        &mut self,
        at: usize,
        of: Option<Written>,
        signature: &syn::Signature,
        is_handler: bool,
        calls: Vec<Call>,
    ) {
        let returns = Written::returned(&signature.output);
        let name = name(&signature.ident);
        let arguments = signature.inputs.iter().filter(|it| matches!(it, syn::FnArg::Typed(_))).count();
        if of.is_none() {
            self.value(at, name.clone(), returns.clone());
        }
        self.modules[at].functions.push(Function { of, name, arguments, returns, is_handler, calls });
    }

    fn implementation(&mut self, at: usize, it: &syn::ItemImpl) {
        let of = Written::of(&it.self_ty);
        let of_trait = it.trait_.as_ref().and_then(|(_, path, _)| names(path).pop());
        let mut target = None;
        for item in &it.items {
            match item {
                syn::ImplItem::Fn(function) => {
                    let is_handler = handlers::is_handler(&function.attrs, &function.sig)
                        || handlers::is_called_per_request(of_trait.as_deref(), &function.sig);
                    let calls = calls_in(&function.block);
                    self.function(at, Some(of.clone()), &function.sig, is_handler, calls);
                }
                syn::ImplItem::Type(it) if it.ident == "Target" && of_trait.as_deref() == Some("Deref") => {
                    target = Some(Written::of(&it.ty));
                }
                _ => {}
            }
        }
        self.modules[at].implementations.push(Implementation { of, target });
    }
}

pub(super) fn in_variant(variant: &str, field: &str) -> String {
    format!("{variant}::{field}")
}

fn path_of(attribute: &syn::Attribute) -> Option<String> {
    let syn::Meta::NameValue(it) = &attribute.meta else { return None };
    let Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) = &it.value else { return None };
    attribute.path().is_ident("path").then(|| text.value())
}

/// Each name that a `use` brings with its path; a glob has none.
pub(super) fn routes_of(
    tree: &UseTree,
    before: &mut Vec<String>,
    found: &mut Vec<(Option<String>, Vec<String>)>,
) {
    let mut add = |known: Option<&syn::Ident>, last: Option<&syn::Ident>| {
        let mut path = before.clone();
        // `use a::{self}` is `use a`.
        path.extend(last.map(name).filter(|it| it != "self" || path.is_empty()));
        let known = match known {
            Some(it) if it == "self" => path.last().cloned(),
            Some(it) => Some(name(it)),
            None => None,
        };
        found.push((known, path));
    };
    match tree {
        UseTree::Name(it) => add(Some(&it.ident), Some(&it.ident)),
        UseTree::Rename(it) => add(Some(&it.rename), Some(&it.ident)),
        UseTree::Glob(_) => add(None, None),
        UseTree::Path(it) => {
            before.push(name(&it.ident));
            routes_of(&it.tree, before, found);
            before.pop();
        }
        UseTree::Group(it) => {
            for tree in &it.items {
                routes_of(tree, before, found);
            }
        }
    }
}

fn calls_in(block: &syn::Block) -> Vec<Call> {
    let mut calls = Calls(Vec::new());
    calls.visit_block(block);
    calls.0
}

struct Calls(Vec<Call>);

impl Calls {
    fn routed(&mut self, arguments: impl Iterator<Item = impl std::borrow::Borrow<Expr>>) {
        for argument in arguments {
            if let Expr::Path(it) = argument.borrow() {
                self.0.push(Call::Routed(route(&it.path)));
            }
        }
    }
}

pub(super) fn route(path: &syn::Path) -> Route {
    Route { is_global: path.leading_colon.is_some(), names: names(path) }
}

impl<'ast> Visit<'ast> for Calls {
    fn visit_expr_call(&mut self, it: &'ast syn::ExprCall) {
        if let Expr::Path(called) = &*it.func {
            let path = route(&called.path);
            if path.names.last().is_some_and(|last| handlers::is_router(last)) {
                self.routed(it.args.iter());
            }
            self.0.push(Call::Path(path));
        }
        visit::visit_expr_call(self, it);
    }

    fn visit_expr_method_call(&mut self, it: &'ast syn::ExprMethodCall) {
        let method = name(&it.method);
        if handlers::is_router(&method) {
            self.routed(it.args.iter());
        }
        self.0.push(Call::Method(method, it.args.len()));
        visit::visit_expr_method_call(self, it);
    }

    fn visit_macro(&mut self, it: &'ast syn::Macro) {
        for piece in macros::pieces(&it.path, &it.tokens) {
            match piece {
                Piece::Statements(all) => all.iter().for_each(|it| Visit::visit_stmt(self, it)),
                Piece::Expression(it) | Piece::Static(_, _, it) => Visit::visit_expr(self, &it),
                Piece::Path(path) => self.0.push(Call::Path(route(&path))),
            }
        }
    }

    // A function within a function is told with it.
}
