//! Goes through a file's syntax and notes each place that makes a Redis client or takes one out of a pool.

mod visit;

use std::collections::HashSet;

use proc_macro2::Span;
use syn::visit::Visit;
use syn::{Attribute, Expr};

use super::View;
use super::finding::{Finding, Kind, Scope, Style};
use super::handlers;
use super::legacy::{self, Effect, Legacy};
use super::names::NodeId;
use super::replacement::{self, Replacement};
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
    /// The call of a method that was seen last, and what it was called on: the next in a chain begins with that.
    received: Option<(*const syn::ExprMethodCall, Ty)>,
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
            received: None,
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

    /// The type of what a method is called on, which was just gone through. In a chain that is known but for its last
    /// call, or the time would go with the square of its length.
    fn receiver(&mut self, receiver: &Expr) -> Ty {
        match (self.received.take(), called_last(receiver)) {
            (Some((seen, of)), Some(call)) if std::ptr::eq(seen, call) => {
                let arguments: Vec<&Expr> = call.args.iter().collect();
                self.view.method(of, &name(&call.method), &arguments, &mut self.scopes)
            }
            _ => self.view.infer(receiver, &mut self.scopes),
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
        // The only client beside an r2d2 pool, and nothing else that could be made of it.
        let makes_r2d2 = |it: &Finding| it.kind == Kind::Pool && it.what.starts_with("r2d2::");
        let is_for_r2d2 = found.iter().any(makes_r2d2)
            && found.iter().filter(|it| it.kind == Kind::Client).count() == 1
            && found.iter().all(|it| it.kind == Kind::Client || makes_r2d2(it) || it.style == Style::Sync);
        for finding in found {
            finding.block_on |= ended.blocks_on;
            if is_for_r2d2 && finding.what == "redis::Client::open" {
                finding.replacement = Replacement::FOR_R2D2;
            }
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

/// Behind what only passes it on, as [`View::infer`] has it.
fn called_last(mut expression: &Expr) -> Option<&syn::ExprMethodCall> {
    loop {
        expression = match expression {
            Expr::MethodCall(it) => return Some(it),
            Expr::Await(it) => &it.base,
            Expr::Try(it) => &it.expr,
            Expr::Paren(it) => &it.expr,
            Expr::Reference(it) => &it.expr,
            _ => return None,
        };
    }
}

pub(super) fn is_test(attributes: &[Attribute]) -> bool {
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
