//! The walk itself: what each piece of syntax means for where we are.

use syn::visit::{self, Visit};
use syn::{Attribute, Expr};

use super::{Scan, fills_static};
use crate::audit::handlers;
use crate::audit::macros::{self, Piece};
use crate::audit::types::Ty;
use crate::audit::written::{Written, name};

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

    fn visit_expr_assign(&mut self, it: &'ast syn::ExprAssign) {
        visit::visit_expr_assign(self, it);
        // `let client; client = ..`
        if let Expr::Path(path) = &*it.left
            && let Some(ident) = path.path.get_ident()
        {
            let ty = self.view.infer(&it.right, &mut self.scopes);
            self.scopes.assign(&name(ident), ty);
        }
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
        self.visit_expr(&it.receiver);
        let of = self.receiver(&it.receiver);
        let arguments: Vec<&Expr> = it.args.iter().collect();
        let expected = match method.as_str() {
            "get" | "try_get" | "get_owned" | "dedicated_connection" => Some(0),
            _ => None,
        };
        if expected.is_none_or(|count| count == arguments.len()) {
            self.call(of.clone(), &method, Some(&arguments), it.method.span());
        }
        self.blocks_on(&method);
        let is_routed = handlers::is_router(&method);
        self.arguments(it.args.iter(), &of, fills_static(it), is_routed);
        self.received = Some((it, of));
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
