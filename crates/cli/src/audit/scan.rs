//! Goes through a file's syntax and notes each place that makes a Redis client or takes one out of a pool.

use std::collections::HashSet;

use proc_macro2::Span;
use syn::visit::{self, Visit};
use syn::{Attribute, Expr};

use super::View;
use super::finding::{Finding, Kind, Scope, Style};
use super::handlers;
use super::legacy::{self, Effect, Legacy};
use super::macros::{self, Piece};
use super::names::NodeId;
use super::replacement;
use super::requests;
use super::scope::Scopes;
use super::types::Ty;
use super::written::{Written, name};

/// One file.
pub(super) struct Scan<'a> {
    view: View<'a>,
    own: &'a [NodeId],
    entered: HashSet<NodeId>,
    file: &'a str,
    package: &'a str,
    scopes: Scopes,
    functions: Vec<Running>,
    /// How deep we are in what runs once in a process, for a test, for a request, and on a task.
    statics: usize,
    tests: usize,
    requests: usize,
    asyncs: usize,
    /// The type that an `impl` is of.
    of: Option<Written>,
    /// What a closure is called with.
    given: Option<Ty>,
    pub(super) found: Vec<Finding>,
}

/// A function that we are in.
struct Running {
    first: usize,
    name: String,
    blocks_on: bool,
}

impl<'a> Scan<'a> {
    pub(super) fn new(
        view: View<'a>,
        own: &'a [NodeId],
        file: &'a str,
        package: &'a str,
        is_test: bool,
    ) -> Self {
        Self {
            view,
            own,
            entered: HashSet::new(),
            file,
            package,
            scopes: Scopes::new(Ty::Unknown),
            functions: Vec::new(),
            statics: 0,
            tests: usize::from(is_test),
            requests: 0,
            asyncs: 0,
            of: None,
            given: None,
            found: Vec::new(),
        }
    }

    fn note(&mut self, on: Legacy, method: &str, effect: Effect, at: Span) {
        let Some((kind, style)) = effect.told else { return };
        let scope = if self.tests > 0 {
            Scope::Test
        } else if self.statics > 0 {
            Scope::Static
        } else if self.requests > 0 {
            Scope::Request
        } else {
            Scope::Module
        };
        let style = if style == Style::Either && self.asyncs > 0 { Style::Async } else { style };
        let at = at.start();
        self.found.push(Finding {
            file: self.file.to_owned(),
            line: at.line,
            column: at.column + 1,
            package: self.package.to_owned(),
            kind,
            style,
            scope,
            block_on: false,
            what: format!("{}::{method}", on.name()),
            function: self.functions.last().map(|it| it.name.clone()),
            replacement: replacement::of_call(on, method, kind, style),
            allowed: None,
        });
    }

    /// A call of a type's function, or only its name; `arguments` are those behind a manager's place.
    fn call(&mut self, of: Ty, method: &str, arguments: Option<&[&Expr]>, at: Span) {
        match self.view.settled_for(of, method) {
            Ty::Legacy(it) => {
                if let Some(effect) = legacy::call(it, method) {
                    self.note(it, method, effect, at);
                }
            }
            Ty::Shell(it) => {
                let Some((makes, true)) = it.call(method) else { return };
                let manager = arguments.and_then(|all| all.first());
                let manager = manager.map(|it| self.view.infer(it, &mut self.scopes)).unwrap_or_default();
                if self.view.pool_of(makes, &manager).is_known()
                    && let Some(effect) = legacy::call(it.of_redis(), method)
                {
                    self.note(it.of_redis(), method, effect, at);
                }
            }
            own @ Ty::Own(..) if self.view.members.method(&own, method).is_none() => {
                let target = self.view.members.target(&own);
                if target.is_known() {
                    self.call(target, method, arguments, at);
                }
            }
            Ty::Unknown
                if legacy::is_distinctive(method)
                    && self.view.members.any_method(self.view.package, method).is_none() =>
            {
                if let Some(effect) = legacy::call(Legacy::Client, method) {
                    self.note(Legacy::Client, method, effect, at);
                }
            }
            _ => {}
        }
    }

    fn path(&mut self, it: &syn::ExprPath, arguments: Option<&[&Expr]>) {
        let Some((of, method)) = self.view.associated(it, &self.scopes) else { return };
        let Some(last) = it.path.segments.last() else { return };
        if of.is_known() {
            self.call(of, &method, arguments, last.ident.span());
        }
    }

    fn function(
        &mut self,
        attributes: &[Attribute],
        signature: &syn::Signature,
        visit: impl FnOnce(&mut Self),
    ) {
        let name = name(&signature.ident);
        let itself = match &self.of {
            Some(of) => self.view.named(of, &Scopes::default()),
            None => Ty::Unknown,
        };
        let key = requests::key(self.view.names, self.view.node, self.of.as_ref(), &name);
        let is_request = self.view.requests.contains(&key) || handlers::is_handler(attributes, signature);
        let is_test = is_test(attributes);
        let shown = match self.of.as_ref().and_then(Written::last) {
            Some(of) => format!("{of}::{name}"),
            None => name,
        };
        let scopes = self.scopes.nested(itself);
        let scopes = std::mem::replace(&mut self.scopes, scopes);
        let asyncs = std::mem::replace(&mut self.asyncs, usize::from(signature.asyncness.is_some()));
        let statics = std::mem::take(&mut self.statics);
        self.functions.push(Running { first: self.found.len(), name: shown, blocks_on: false });
        self.requests += usize::from(is_request);
        self.tests += usize::from(is_test);
        for input in &signature.inputs {
            if let syn::FnArg::Typed(it) = input {
                let ty = self.view.named(&Written::of(&it.ty), &self.scopes);
                self.view.bind(&it.pat, ty, &mut self.scopes);
            }
        }
        visit(self);
        self.tests -= usize::from(is_test);
        self.requests -= usize::from(is_request);
        self.leave_function();
        self.asyncs = asyncs;
        self.statics = statics;
        self.scopes = scopes;
    }

    fn leave_function(&mut self) {
        let Some(ended) = self.functions.pop() else { return };
        let found = &mut self.found[ended.first..];
        let connects = found.iter().find(|it| it.kind == Kind::Connection || it.kind == Kind::Manager);
        let style = connects.map(|it| it.style);
        for finding in found {
            finding.block_on |= ended.blocks_on;
            if finding.style == Style::Either {
                finding.style = style.unwrap_or(Style::Either);
            }
        }
    }

    fn blocks_on(&mut self, called: &str) {
        if called == "block_on" {
            for function in &mut self.functions {
                function.blocks_on = true;
            }
        }
    }

    /// Arguments of a call that has these for its closures.
    fn arguments<'e>(
        &mut self,
        arguments: impl Iterator<Item = &'e Expr>,
        given: &Ty,
        is_static: bool,
        is_routed: bool,
    ) {
        self.statics += usize::from(is_static);
        for argument in arguments {
            let is_closure = matches!(argument, Expr::Closure(_));
            let routed = usize::from(is_routed && is_closure);
            self.requests += routed;
            self.given = Some(given.clone()).filter(|it| is_closure && it.is_known());
            Visit::visit_expr(self, argument);
            self.given = None;
            self.requests -= routed;
        }
        self.statics -= usize::from(is_static);
    }

    fn scoped(&mut self, attributes: &[Attribute], visit: impl FnOnce(&mut Self)) {
        let is_test = is_test(attributes);
        self.tests += usize::from(is_test);
        visit(self);
        self.tests -= usize::from(is_test);
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let Some(last) = attribute.path().segments.last() else { return false };
        if last.ident == "cfg" {
            let mut is_test = false;
            // `all(test, ..)` too, but not `not(test)`.
            if let syn::Meta::List(list) = &attribute.meta {
                let text = list.tokens.to_string();
                is_test = text == "test"
                    || text.starts_with("all") && text.contains("test") && !text.contains("not");
            }
            return is_test;
        }
        ["test", "bench", "rstest", "test_case", "proptest"].iter().any(|known| last.ident == known)
    })
}

/// `POOL.get_or_init(..)`: what fills a static, not a field of something.
fn fills_static(it: &syn::ExprMethodCall) -> bool {
    let fills = ["get_or_init", "get_or_try_init", "call_once", "set"];
    let method = it.method.to_string();
    let Expr::Path(path) = &*it.receiver else { return false };
    let last = path.path.segments.last().map(|it| it.ident.to_string()).unwrap_or_default();
    fills.contains(&method.as_str()) && !last.chars().any(char::is_lowercase)
}

impl<'ast> Visit<'ast> for Scan<'_> {
    fn visit_attribute(&mut self, _: &'ast Attribute) {}

    fn visit_item_mod(&mut self, it: &'ast syn::ItemMod) {
        let here = self.view.node;
        let named = name(&it.ident);
        let nodes = &self.view.names.nodes;
        let inner = self.own.iter().find(|&&node| {
            nodes[node].parent == Some(here)
                && nodes[node].module.name == named
                && !self.entered.contains(&node)
        });
        if let Some(&inner) = inner.filter(|_| it.content.is_some() && self.functions.is_empty()) {
            self.entered.insert(inner);
            self.view.node = inner;
        }
        self.scoped(&it.attrs, |scan| visit::visit_item_mod(scan, it));
        self.view.node = here;
    }

    fn visit_item_fn(&mut self, it: &'ast syn::ItemFn) {
        // A function within a method has no `Self`.
        let of = self.of.take();
        self.function(&it.attrs, &it.sig, |scan| scan.visit_block(&it.block));
        self.of = of;
    }

    fn visit_item_impl(&mut self, it: &'ast syn::ItemImpl) {
        let of = self.of.replace(Written::of(&it.self_ty));
        self.scoped(&it.attrs, |scan| visit::visit_item_impl(scan, it));
        self.of = of;
    }

    fn visit_impl_item_fn(&mut self, it: &'ast syn::ImplItemFn) {
        self.function(&it.attrs, &it.sig, |scan| scan.visit_block(&it.block));
    }

    fn visit_item_trait(&mut self, it: &'ast syn::ItemTrait) {
        let names = vec![name(&it.ident)];
        let of = self.of.replace(Written::Path { is_global: false, names, arguments: Vec::new() });
        visit::visit_item_trait(self, it);
        self.of = of;
    }

    fn visit_trait_item_fn(&mut self, it: &'ast syn::TraitItemFn) {
        self.function(&it.attrs, &it.sig, |scan| {
            if let Some(block) = &it.default {
                scan.visit_block(block);
            }
        });
    }

    fn visit_item_static(&mut self, it: &'ast syn::ItemStatic) {
        self.statics += 1;
        self.scoped(&it.attrs, |scan| visit::visit_item_static(scan, it));
        self.statics -= 1;
    }

    fn visit_item_const(&mut self, it: &'ast syn::ItemConst) {
        self.statics += 1;
        self.scoped(&it.attrs, |scan| visit::visit_item_const(scan, it));
        self.statics -= 1;
    }

    fn visit_block(&mut self, it: &'ast syn::Block) {
        self.scopes.enter();
        for statement in &it.stmts {
            if let syn::Stmt::Item(item) = statement {
                self.scopes.declare(item);
            }
        }
        for statement in &it.stmts {
            let (known, ty) = match statement {
                syn::Stmt::Item(syn::Item::Static(it)) => (name(&it.ident), Written::of(&it.ty)),
                syn::Stmt::Item(syn::Item::Const(it)) => (name(&it.ident), Written::of(&it.ty)),
                _ => continue,
            };
            let ty = self.view.named(&ty, &self.scopes);
            self.scopes.bind(known, ty);
        }
        visit::visit_block(self, it);
        self.scopes.leave();
    }

    fn visit_local(&mut self, it: &'ast syn::Local) {
        visit::visit_local(self, it);
        self.view.bind_local(it, &mut self.scopes);
    }

    fn visit_expr_async(&mut self, it: &'ast syn::ExprAsync) {
        self.asyncs += 1;
        visit::visit_expr_async(self, it);
        self.asyncs -= 1;
    }

    fn visit_expr_closure(&mut self, it: &'ast syn::ExprClosure) {
        let given = self.given.take();
        self.scopes.enter();
        for (index, pattern) in it.inputs.iter().enumerate() {
            let ty = if index == 0 { given.clone().unwrap_or_default() } else { Ty::Unknown };
            self.view.bind(pattern, ty.element(), &mut self.scopes);
        }
        self.asyncs += usize::from(it.asyncness.is_some());
        self.visit_expr(&it.body);
        self.asyncs -= usize::from(it.asyncness.is_some());
        self.scopes.leave();
    }

    fn visit_expr_match(&mut self, it: &'ast syn::ExprMatch) {
        self.visit_expr(&it.expr);
        let ty = self.view.infer(&it.expr, &mut self.scopes);
        for arm in &it.arms {
            self.scopes.enter();
            self.view.bind(&arm.pat, ty.clone(), &mut self.scopes);
            if let Some((_, guard)) = &arm.guard {
                self.visit_expr(guard);
            }
            self.visit_expr(&arm.body);
            self.scopes.leave();
        }
    }

    fn visit_expr_let(&mut self, it: &'ast syn::ExprLet) {
        self.visit_expr(&it.expr);
        let ty = self.view.infer(&it.expr, &mut self.scopes);
        self.view.bind(&it.pat, ty, &mut self.scopes);
    }

    fn visit_expr_if(&mut self, it: &'ast syn::ExprIf) {
        self.scopes.enter();
        self.visit_expr(&it.cond);
        self.visit_block(&it.then_branch);
        self.scopes.leave();
        if let Some((_, other)) = &it.else_branch {
            self.visit_expr(other);
        }
    }

    fn visit_expr_while(&mut self, it: &'ast syn::ExprWhile) {
        self.scopes.enter();
        visit::visit_expr_while(self, it);
        self.scopes.leave();
    }

    fn visit_expr_for_loop(&mut self, it: &'ast syn::ExprForLoop) {
        self.visit_expr(&it.expr);
        let ty = self.view.infer(&it.expr, &mut self.scopes).element();
        self.scopes.enter();
        self.view.bind(&it.pat, ty, &mut self.scopes);
        self.visit_block(&it.body);
        self.scopes.leave();
    }

    fn visit_expr_path(&mut self, it: &'ast syn::ExprPath) {
        self.path(it, None);
    }

    fn visit_expr_call(&mut self, it: &'ast syn::ExprCall) {
        let Expr::Path(called) = &*it.func else { return visit::visit_expr_call(self, it) };
        let arguments: Vec<&Expr> = it.args.iter().collect();
        self.path(called, Some(&arguments));
        let last = called.path.segments.last().map(|it| name(&it.ident)).unwrap_or_default();
        self.blocks_on(&last);
        let is_routed = handlers::is_router(&last) && called.path.segments.len() < 3;
        self.arguments(it.args.iter(), &Ty::Unknown, false, is_routed);
    }

    fn visit_expr_method_call(&mut self, it: &'ast syn::ExprMethodCall) {
        let method = name(&it.method);
        let of = self.view.infer(&it.receiver, &mut self.scopes);
        let arguments: Vec<&Expr> = it.args.iter().collect();
        let expected = match method.as_str() {
            "get" | "try_get" | "get_owned" | "dedicated_connection" => Some(0),
            _ => None,
        };
        self.visit_expr(&it.receiver);
        if expected.is_none_or(|count| count == arguments.len()) {
            self.call(of.clone(), &method, Some(&arguments), it.method.span());
        }
        self.blocks_on(&method);
        let is_routed = handlers::is_router(&method);
        self.arguments(it.args.iter(), &of, fills_static(it), is_routed);
    }

    fn visit_macro(&mut self, it: &'ast syn::Macro) {
        for piece in macros::pieces(&it.path, &it.tokens) {
            match piece {
                Piece::Statements(all) => {
                    let block = syn::Block { brace_token: Default::default(), stmts: all };
                    Visit::visit_block(self, &block);
                }
                Piece::Expression(it) => Visit::visit_expr(self, &it),
                Piece::Static(_, _, it) => {
                    self.statics += 1;
                    Visit::visit_expr(self, &it);
                    self.statics -= 1;
                }
                Piece::Path(path) => {
                    self.path(&syn::ExprPath { attrs: Vec::new(), qself: None, path }, None);
                }
            }
        }
    }
}
