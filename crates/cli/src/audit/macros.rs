//! The code in a macro's tokens, as far as it can be read as code.

use proc_macro2::{Delimiter, Group, Spacing, TokenStream, TokenTree};
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{Expr, Stmt, Token, Type};

/// A piece of code in a macro.
pub(super) enum Piece {
    Statements(Vec<Stmt>),
    Expression(Box<Expr>),
    /// `static ref NAME: T = e` of `lazy_static!`.
    Static(String, Box<Type>, Box<Expr>),
    /// What is no code that we know: at least the paths in it.
    Path(syn::Path),
}

/// Macros whose tokens are not what the program does.
const QUOTES: [&str; 11] = [
    "stringify",
    "concat",
    "include",
    "include_str",
    "include_bytes",
    "quote",
    "quote_spanned",
    "parse_quote",
    "env",
    "cfg",
    "compile_error",
];

pub(super) fn pieces(path: &syn::Path, tokens: &TokenStream) -> Vec<Piece> {
    let last = path.segments.last().map(|segment| segment.ident.to_string());
    if last.is_some_and(|last| QUOTES.contains(&last.as_str())) {
        return Vec::new();
    }
    let mut found = Vec::new();
    read(without_dollars(tokens.clone()), &mut found);
    found
}

fn read(tokens: TokenStream, found: &mut Vec<Piece>) {
    if tokens.is_empty() {
        return;
    }
    if let Ok(list) = Punctuated::<Expr, Token![,]>::parse_terminated.parse2(tokens.clone()) {
        found.extend(list.into_iter().map(|it| Piece::Expression(Box::new(it))));
        return;
    }
    if let Ok(statements) = syn::Block::parse_within.parse2(tokens.clone()) {
        found.push(Piece::Statements(statements));
        return;
    }
    for statement in parts(tokens, |token, _| (token == ';').then_some(1)) {
        // Its type may have commas.
        if let Some(piece) = lazy_static(&statement) {
            found.push(piece);
            continue;
        }
        let separates = |token, next| match token {
            ',' => Some(1),
            '=' if next == Some('>') => Some(2),
            _ => None,
        };
        for part in parts(statement.into_iter().collect(), separates) {
            read_part(&part, found);
        }
    }
}

/// What stands between commas, semicolons and arrows.
fn read_part(part: &[TokenTree], found: &mut Vec<Piece>) {
    let stream: TokenStream = part.iter().cloned().collect();
    if let Ok(expression) = syn::parse2::<Expr>(stream.clone()) {
        found.push(Piece::Expression(Box::new(expression)));
        return;
    }
    if let Ok(statements) = syn::Block::parse_within.parse2(stream.clone()) {
        found.push(Piece::Statements(statements));
        return;
    }
    // `pattern = expression`, of `select!` and its like.
    let mut sides = parts(stream, |token, next| (token == '=' && next != Some('=')).then_some(1)).into_iter();
    let (left, right) = (sides.next().unwrap_or_default(), sides.next());
    if let (Some(right), None) = (right, sides.next()) {
        // A body without a comma behind it may stand before the pattern.
        for token in left {
            if let TokenTree::Group(group) = token
                && group.delimiter() == Delimiter::Brace
            {
                read(group.stream(), found);
            }
        }
        let stream: TokenStream = right.iter().cloned().collect();
        match syn::parse2::<Expr>(stream) {
            Ok(expression) => found.push(Piece::Expression(Box::new(expression))),
            Err(_) => loose(&right, found),
        }
        return;
    }
    loose(part, found);
}

/// Neither expression nor statement: what is in its brackets, and the paths between them.
fn loose(tokens: &[TokenTree], found: &mut Vec<Piece>) {
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        at += 1;
        match token {
            TokenTree::Group(group) => read(group.stream(), found),
            TokenTree::Ident(_) => {
                let start = at - 1;
                while is_colons(tokens, at) && matches!(tokens.get(at + 2), Some(TokenTree::Ident(_))) {
                    at += 3;
                }
                let path: TokenStream = tokens[start..at].iter().cloned().collect();
                if at - start > 1
                    && let Ok(path) = syn::parse2::<syn::Path>(path)
                {
                    found.push(Piece::Path(path));
                }
            }
            _ => {}
        }
    }
}

fn is_colons(tokens: &[TokenTree], at: usize) -> bool {
    let colon = |at: usize| matches!(tokens.get(at), Some(TokenTree::Punct(it)) if it.as_char() == ':');
    colon(at) && colon(at + 1)
}

fn lazy_static(part: &[TokenTree]) -> Option<Piece> {
    let is = |token: &TokenTree, word: &str| matches!(token, TokenTree::Ident(it) if it == word);
    let at = part.iter().position(|token| is(token, "static"))?;
    if !is(part.get(at + 1)?, "ref") {
        return None;
    }
    let TokenTree::Ident(name) = part.get(at + 2)? else { return None };
    let rest: TokenStream = part.get(at + 4..)?.iter().cloned().collect();
    let mut sides = parts(rest, |token, next| (token == '=' && next != Some('=')).then_some(1)).into_iter();
    let side = |tokens: Vec<TokenTree>| tokens.into_iter().collect::<TokenStream>();
    let ty = syn::parse2(side(sides.next()?)).ok()?;
    let value = syn::parse2(side(sides.next()?)).ok()?;
    Some(Piece::Static(name.to_string(), Box::new(ty), Box::new(value)))
}

/// Splits where `separates` says how many tokens to leave out.
fn parts(
    tokens: TokenStream,
    separates: impl Fn(char, Option<char>) -> Option<usize>,
) -> Vec<Vec<TokenTree>> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let punct = |at: usize| match tokens.get(at) {
        Some(TokenTree::Punct(it)) => Some(it.as_char()),
        _ => None,
    };
    let mut all = vec![Vec::new()];
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        // `>=` and its like; but not the end of a type before its value.
        let before = at.checked_sub(1).and_then(|at| tokens.get(at));
        let joined = punct(at) == Some('=')
            && matches!(before, Some(TokenTree::Punct(it)) if it.spacing() == Spacing::Joint);
        match punct(at).filter(|_| !joined).and_then(|it| separates(it, punct(at + 1))) {
            Some(length) => {
                at += length;
                all.push(Vec::new());
            }
            None => {
                if let Some(last) = all.last_mut() {
                    last.push(token.clone());
                }
                at += 1;
            }
        }
    }
    all.retain(|part| !part.is_empty());
    all
}

/// The body of a `macro_rules!` reads as code once its `$` are gone: `$x` as `x`, and `$( .. ),*` as what it repeats.
fn without_dollars(tokens: TokenStream) -> TokenStream {
    let mut out = Vec::new();
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(it) if it.as_char() == '$' => {
                if let Some(TokenTree::Group(group)) =
                    tokens.next_if(|next| matches!(next, TokenTree::Group(_)))
                {
                    out.extend(without_dollars(group.stream()));
                    let is_repeat = |next: &TokenTree| matches!(next, TokenTree::Punct(it) if ",;*+?".contains(it.as_char()));
                    while let Some(TokenTree::Punct(sign)) = tokens.next_if(is_repeat) {
                        if "*+?".contains(sign.as_char()) {
                            break;
                        }
                    }
                }
            }
            TokenTree::Group(group) => {
                let mut inner = Group::new(group.delimiter(), without_dollars(group.stream()));
                inner.set_span(group.span());
                out.push(TokenTree::Group(inner));
            }
            other => out.push(other),
        }
    }
    out.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<String> {
        let mac: syn::Macro = syn::parse_str(text).unwrap();
        pieces(&mac.path, &mac.tokens)
            .into_iter()
            .map(|piece| match piece {
                Piece::Statements(all) => format!("{} statements", all.len()),
                Piece::Expression(_) => "expression".to_owned(),
                Piece::Static(name, ..) => format!("static {name}"),
                Piece::Path(path) => super::super::written::names(&path).join("::"),
            })
            .collect()
    }

    #[test]
    fn what_is_code_in_a_macro_is_read_as_code() {
        assert_eq!(of("vec![a::b(), c]"), ["expression", "expression"]);
        assert_eq!(of("thread_local! { static A: B = c(); }"), ["1 statements"]);
        assert_eq!(
            of("lazy_static! { static ref A: HashMap<B, C> = d(); pub static ref E: F = g(); }"),
            ["static A", "static E"]
        );
        assert_eq!(
            of("select! { _ = a() => {} Some(x) = b() => c(x), }"),
            ["expression", "2 statements", "expression"]
        );
        assert_eq!(of("json!({ \"a\": b::c(d) })"), ["b::c", "expression"]);
        assert_eq!(of("stringify!(a::b())"), [""; 0]);
        assert_eq!(of("quote!(a::b())"), [""; 0]);
    }
}
