//! What type an expression has, as far as a Redis client is in it.

use syn::{Expr, Pat};

use super::View;
use super::declared::{in_variant, route};
use super::legacy;
use super::names::Leads;
use super::passing::{HOLDERS, OF_CELLS, OF_COLLECTIONS, STEPS_IN};
use super::scope::Scopes;
use super::types::{Nearby, Nowhere, Ty};
use super::written::{Written, name};

impl View<'_> {
    pub(super) fn infer(&self, expression: &Expr, scopes: &mut Scopes) -> Ty {
        match expression {
            Expr::Path(it) => self.value(it, scopes),
            Expr::Call(it) => self.called(it, scopes),
            Expr::MethodCall(it) => {
                let receiver = self.infer(&it.receiver, scopes);
                self.method(receiver, &name(&it.method), &it.args.iter().collect::<Vec<_>>(), scopes)
            }
            Expr::Field(it) => {
                let base = self.infer(&it.base, scopes);
                let field = match &it.member {
                    syn::Member::Named(ident) => name(ident),
                    syn::Member::Unnamed(index) => index.index.to_string(),
                };
                let ty = self.members.field(self.package, &base, &field);
                if base.is_known() { ty } else { self.guess(ty) }
            }
            Expr::Await(it) => self.infer(&it.base, scopes),
            Expr::Try(it) => self.infer(&it.expr, scopes),
            Expr::Paren(it) => self.infer(&it.expr, scopes),
            Expr::Group(it) => self.infer(&it.expr, scopes),
            Expr::Reference(it) => self.infer(&it.expr, scopes),
            Expr::Unary(it) => self.infer(&it.expr, scopes),
            Expr::Index(it) => self.infer(&it.expr, scopes).element(),
            Expr::Tuple(it) => Ty::Tuple(it.elems.iter().map(|it| self.infer(it, scopes)).collect()),
            Expr::Array(it) => match it.elems.first().map(|it| self.infer(it, scopes)) {
                Some(known) if known.is_known() => Ty::Many(Box::new(known)),
                _ => Ty::Unknown,
            },
            Expr::Struct(it) if it.qself.is_none() => self.named(&Written::path(&it.path), scopes),
            Expr::Closure(it) => self.infer(&it.body, scopes),
            Expr::Block(it) => self.block(&it.block, scopes),
            Expr::Async(it) => self.block(&it.block, scopes),
            Expr::Unsafe(it) => self.block(&it.block, scopes),
            Expr::If(it) => match self.block(&it.then_branch, scopes) {
                Ty::Unknown => {
                    it.else_branch.as_ref().map_or(Ty::Unknown, |(_, other)| self.infer(other, scopes))
                }
                known => known,
            },
            Expr::Match(it) => {
                let all = it.arms.iter().map(|arm| self.infer(&arm.body, scopes));
                all.into_iter().find(Ty::is_known).unwrap_or_default()
            }
            _ => Ty::Unknown,
        }
    }

    fn block(&self, block: &syn::Block, scopes: &mut Scopes) -> Ty {
        let Some(syn::Stmt::Expr(last, None)) = block.stmts.last() else { return Ty::Unknown };
        scopes.enter();
        for statement in &block.stmts {
            match statement {
                syn::Stmt::Local(it) => self.bind_local(it, scopes),
                syn::Stmt::Item(it) => scopes.declare(it),
                _ => {}
            }
        }
        let ty = self.infer(last, scopes);
        scopes.leave();
        ty
    }

    pub(super) fn named(&self, written: &Written, scopes: &Scopes) -> Ty {
        self.names.type_of(self.node, written, scopes)
    }

    fn value(&self, it: &syn::ExprPath, scopes: &Scopes) -> Ty {
        let route = route(&it.path);
        if let ([only], None) = (route.names.as_slice(), &it.qself) {
            if only == "self" {
                return scopes.itself();
            }
            if let Some(known) = scopes.local(only) {
                return known;
            }
        }
        match self.names.leads(self.node, &route, scopes) {
            Some(Leads::Value(at, name)) => {
                let all = self.names.nodes[at].module.values.get(&name).into_iter().flatten();
                let mut all = all.map(|it| self.names.type_of(at, it, &Nowhere(Ty::Unknown)));
                all.find(Ty::is_known).unwrap_or_default()
            }
            _ => Ty::Unknown,
        }
    }

    /// The type whose function a path names, and the function's name.
    pub(super) fn associated(&self, it: &syn::ExprPath, scopes: &Scopes) -> Option<(Ty, String)> {
        let last = name(&it.path.segments.last()?.ident);
        if let Some(qself) = &it.qself {
            return Some((self.named(&Written::of(&qself.ty), scopes), last));
        }
        let Written::Path { is_global, mut names, arguments } = Written::path(&it.path) else { return None };
        names.pop();
        if names.is_empty() {
            return None;
        }
        let written = Written::Path { is_global, names, arguments };
        Some((self.named(&written, scopes), last))
    }

    fn called(&self, it: &syn::ExprCall, scopes: &mut Scopes) -> Ty {
        let Expr::Path(path) = &*it.func else { return Ty::Unknown };
        let arguments: Vec<&Expr> = it.args.iter().collect();
        if let Some((of, function)) = self.associated(path, scopes)
            && of.is_known()
        {
            // `Pool::get(&pool)` and `Pool::builder()` alike.
            return self.method(of, &function, &arguments, scopes);
        }
        let returned = self.value(path, scopes);
        if returned.is_known() {
            return returned;
        }
        let route = route(&path.path);
        match self.names.leads(self.node, &route, scopes) {
            Some(Leads::Type(at, name)) => return Ty::Own(at, name),
            Some(Leads::Value(..)) => return Ty::Unknown,
            _ => {}
        }
        let is_holder = route.names.last().is_some_and(|last| HOLDERS.contains(&last.as_str()));
        // The clock before what it limits: `timeout(limit, work)`.
        let inner = if is_holder { arguments.last() } else { None };
        inner.map(|inner| self.infer(inner, scopes)).unwrap_or_default()
    }

    /// What a call on this type returns.
    pub(super) fn method(&self, of: Ty, method: &str, arguments: &[&Expr], scopes: &mut Scopes) -> Ty {
        match &of {
            Ty::Legacy(it) => {
                if let Some(effect) = legacy::call(*it, method) {
                    return effect.makes.map_or(Ty::Unknown, Ty::Legacy);
                }
            }
            Ty::Shell(it) => {
                if let Some((makes, takes_manager)) = it.call(method) {
                    if !takes_manager {
                        return Ty::Shell(makes);
                    }
                    let manager = arguments.first().map(|it| self.infer(it, scopes)).unwrap_or_default();
                    return self.pool_of(makes, &manager);
                }
            }
            Ty::Own(..) => {
                if let Some(returns) = self.members.method(&of, method) {
                    return returns.clone();
                }
                let target = self.members.target(&of);
                if target.is_known() {
                    return self.method(target, method, arguments, scopes);
                }
            }
            Ty::Cell(inner) if OF_CELLS.contains(&method) => return (**inner).clone(),
            Ty::Many(inner) if OF_COLLECTIONS.contains(&method) => return (**inner).clone(),
            Ty::Unknown => {
                let all = self.members.any_method(self.package, method);
                let known = all.cloned().map_or(Ty::Unknown, |it| self.guess(it));
                if known.is_known() {
                    return known;
                }
            }
            _ => {}
        }
        if matches!(method, "map" | "and_then" | "then" | "with" | "map_ok")
            && let Some(function) = arguments.first()
        {
            return self.applied(function, of, scopes);
        }
        if method == "block_on" {
            return arguments.first().map(|it| self.infer(it, scopes)).unwrap_or_default();
        }
        if STEPS_IN.contains(&method) || matches!(of, Ty::Many(_)) { of } else { Ty::Unknown }
    }

    /// What is only known by its name counts where it cannot be a client of another database.
    fn guess(&self, ty: Ty) -> Ty {
        let is_certain = matches!(ty, Ty::Own(..)) || self.names.packages[self.package].pools_are_redis;
        if is_certain { ty } else { Ty::Unknown }
    }

    /// A pool with a manager of this type.
    pub(super) fn pool_of(&self, makes: legacy::Shell, manager: &Ty) -> Ty {
        match manager {
            Ty::Legacy(it) if it.is_manager() => Ty::Legacy(makes.of_redis()),
            Ty::Unknown if self.names.packages[self.package].pools_are_redis => Ty::Legacy(makes.of_redis()),
            _ => Ty::Unknown,
        }
    }

    fn applied(&self, function: &Expr, given: Ty, scopes: &mut Scopes) -> Ty {
        match function {
            Expr::Closure(it) => {
                scopes.enter();
                if let Some(pattern) = it.inputs.first() {
                    self.bind(pattern, given.element(), scopes);
                }
                let ty = self.infer(&it.body, scopes);
                scopes.leave();
                ty
            }
            Expr::Path(it) => match self.associated(it, scopes) {
                Some((of, function)) if of.is_known() => self.method(of, &function, &[], scopes),
                Some((_, function)) if HOLDERS.contains(&function.as_str()) => given,
                _ => self.value(it, scopes),
            },
            _ => Ty::Unknown,
        }
    }

    pub(super) fn bind_local(&self, it: &syn::Local, scopes: &mut Scopes) {
        let ty = it.init.as_ref().map(|init| self.infer(&init.expr, scopes)).unwrap_or_default();
        self.bind(&it.pat, ty, scopes);
    }

    /// Gives the names of a pattern their types.
    pub(super) fn bind(&self, pattern: &Pat, ty: Ty, scopes: &mut Scopes) {
        match pattern {
            Pat::Ident(it) => {
                if let Some((_, inner)) = &it.subpat {
                    self.bind(inner, ty.clone(), scopes);
                }
                scopes.bind(name(&it.ident), ty);
            }
            Pat::Type(it) => {
                let written = self.named(&Written::of(&it.ty), scopes);
                let ty = match written {
                    Ty::Unknown | Ty::Shell(_) => ty,
                    known => known,
                };
                self.bind(&it.pat, ty, scopes);
            }
            Pat::Reference(it) => self.bind(&it.pat, ty, scopes),
            Pat::Paren(it) => self.bind(&it.pat, ty, scopes),
            Pat::Tuple(it) => {
                for (index, pattern) in it.elems.iter().enumerate() {
                    let ty = match &ty {
                        Ty::Tuple(all) => all.get(index).cloned().unwrap_or_default(),
                        _ => Ty::Unknown,
                    };
                    self.bind(pattern, ty, scopes);
                }
            }
            Pat::TupleStruct(it) => {
                for (index, pattern) in it.elems.iter().enumerate() {
                    let field = self.field_in(&it.path, &index.to_string(), &ty, scopes);
                    let ty = match field {
                        Some(known) => known,
                        // `Some(pool)`, `State(pool)`: what is held.
                        None if it.elems.len() == 1 => ty.clone(),
                        None => Ty::Unknown,
                    };
                    self.bind(pattern, ty, scopes);
                }
            }
            Pat::Struct(it) => {
                for field in &it.fields {
                    let member = match &field.member {
                        syn::Member::Named(ident) => name(ident),
                        syn::Member::Unnamed(index) => index.index.to_string(),
                    };
                    let ty = self.field_in(&it.path, &member, &ty, scopes).unwrap_or_default();
                    self.bind(&field.pat, ty, scopes);
                }
            }
            Pat::Or(it) => {
                if let Some(first) = it.cases.first() {
                    self.bind(first, ty, scopes);
                }
            }
            Pat::Slice(it) => {
                for pattern in &it.elems {
                    self.bind(pattern, ty.clone().element(), scopes);
                }
            }
            _ => {}
        }
    }

    /// A field of what a pattern names: of a struct, or of a variant. `None` if it names nothing of the tree's.
    fn field_in(&self, path: &syn::Path, field: &str, matched: &Ty, scopes: &Scopes) -> Option<Ty> {
        let Written::Path { is_global, mut names, arguments } = Written::path(path) else { return None };
        let of = self
            .named(&Written::Path { is_global, names: names.clone(), arguments: arguments.clone() }, scopes);
        if matches!(of, Ty::Own(..)) {
            return Some(self.members.field(self.package, &of, field));
        }
        let variant = in_variant(&names.pop()?, field);
        let of = match self.named(&Written::Path { is_global, names, arguments }, scopes) {
            own @ Ty::Own(..) => own,
            _ => matched.clone(),
        };
        let ty = self.members.field(self.package, &of, &variant);
        (of != Ty::Unknown && ty.is_known()).then_some(ty)
    }

    /// A pool of a database that is not known here is taken for one of Redis if the crate has no other. What has yet to
    /// be handed its manager is asked then.
    pub(super) fn settled_for(&self, ty: Ty, method: &str) -> Ty {
        match ty {
            Ty::Shell(it)
                if self.names.packages[self.package].pools_are_redis
                    && !it.call(method).is_some_and(|(_, takes_manager)| takes_manager) =>
            {
                Ty::Legacy(it.of_redis())
            }
            other => other,
        }
    }
}
