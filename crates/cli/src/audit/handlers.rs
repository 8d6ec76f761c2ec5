//! Which functions run once for each request.
//!
//! A function does if its signature or its place says so, or if such a function calls it, by whatever steps:
//!
//! - it has the attribute of a route (`#[get("/")]`, `#[handler]`, ...);
//! - it takes what only a handler is given (`State<..>`, `Json<..>`, `HttpRequest`, ...) or returns what only a handler
//!   returns (`impl IntoResponse`, `HttpResponse`, ...);
//! - it implements a trait for requests: `Service::call`, `FromRequestParts`, ...;
//! - it is handed to what routes: `get(show)`, `.to(show)`, `service_fn(serve)`, ...

use syn::{Attribute, FnArg, Signature};

use super::written::Written;

const ATTRIBUTES: [&str; 16] = [
    "get",
    "post",
    "put",
    "delete",
    "patch",
    "head",
    "options",
    "connect",
    "trace",
    "any",
    "route",
    "routes",
    "handler",
    "endpoint",
    "oai",
    "debug_handler",
];

const GIVEN: [&str; 24] = [
    "State",
    "Json",
    "Query",
    "Form",
    "Extension",
    "Multipart",
    "HeaderMap",
    "Request",
    "HttpRequest",
    "ServiceRequest",
    "WebSocketUpgrade",
    "ConnectInfo",
    "OriginalUri",
    "MatchedPath",
    "TypedHeader",
    "CookieJar",
    "PrivateCookieJar",
    "SignedCookieJar",
    "Depot",
    "Parts",
    "RequestParts",
    "RawQuery",
    "Payload",
    "Streaming",
];

const RETURNED: [&str; 10] = [
    "IntoResponse",
    "Responder",
    "HttpResponse",
    "Response",
    "Reply",
    "Redirect",
    "ServiceResponse",
    "Html",
    "Rejection",
    "StatusCode",
];

const TRAITS: [&str; 12] = [
    "Service",
    "Handler",
    "Endpoint",
    "FromRequest",
    "FromRequestParts",
    "OptionalFromRequestParts",
    "Middleware",
    "Fairing",
    "Interceptor",
    "Responder",
    "IntoResponse",
    "ServiceFactory",
];

const ROUTERS: [&str; 20] = [
    "get",
    "post",
    "put",
    "delete",
    "patch",
    "head",
    "options",
    "trace",
    "any",
    "on",
    "to",
    "route",
    "service_fn",
    "handler_fn",
    "fn_service",
    "from_fn",
    "from_fn_with_state",
    "fallback",
    "map_request",
    "wrap_fn",
];

pub(super) fn is_router(call: &str) -> bool {
    ROUTERS.contains(&call)
}

pub(super) fn is_handler(attributes: &[Attribute], signature: &Signature) -> bool {
    let has_route = attributes.iter().any(|attribute| {
        let last = attribute.path().segments.last();
        last.is_some_and(|last| ATTRIBUTES.iter().any(|known| last.ident == known))
    });
    has_route || given(signature) || returned(signature)
}

/// The functions of an implementation of this trait.
pub(super) fn is_called_per_request(of_trait: Option<&str>, signature: &Signature) -> bool {
    let never = ["poll_ready", "new_service", "new", "clone", "init", "info"];
    of_trait.is_some_and(|it| TRAITS.contains(&it)) && !never.iter().any(|name| signature.ident == name)
}

fn given(signature: &Signature) -> bool {
    signature.inputs.iter().any(|input| match input {
        FnArg::Typed(it) => {
            let ty = Written::of(&it.ty);
            let names = |names: &[String]| {
                // `web::Path` and `extract::Path`, but not std's.
                let is_path = names.ends_with(&["web".into(), "Path".into()])
                    || names.ends_with(&["extract".into(), "Path".into()]);
                let is_data = names.ends_with(&["web".into(), "Data".into()]);
                is_path || is_data || names.last().is_some_and(|last| GIVEN.contains(&last.as_str()))
            };
            matches!(&ty, Written::Path { names: it, arguments, .. } if names(it) || is_extracted(it, arguments))
        }
        FnArg::Receiver(_) => false,
    })
}

/// `Path<u64>` and `Data<T>` have an argument, `std::path::Path` has none.
fn is_extracted(names: &[String], arguments: &[Written]) -> bool {
    !arguments.is_empty() && matches!(names.last().map(String::as_str), Some("Path" | "Data"))
}

fn returned(signature: &Signature) -> bool {
    let syn::ReturnType::Type(_, ty) = &signature.output else { return false };
    fn names(ty: &syn::Type) -> bool {
        match ty {
            syn::Type::ImplTrait(it) => it.bounds.iter().any(|bound| match bound {
                syn::TypeParamBound::Trait(it) => is_one(&it.path),
                _ => false,
            }),
            syn::Type::Path(it) => is_one(&it.path),
            syn::Type::Tuple(it) => it.elems.iter().any(names),
            _ => false,
        }
    }
    fn is_one(path: &syn::Path) -> bool {
        let Some(last) = path.segments.last() else { return false };
        if RETURNED.iter().any(|known| last.ident == known) {
            return true;
        }
        let wraps = last.ident == "Result" || last.ident == "Option";
        let syn::PathArguments::AngleBracketed(given) = &last.arguments else { return false };
        wraps
            && given.args.iter().take(1).any(|argument| match argument {
                syn::GenericArgument::Type(ty) => names(ty),
                _ => false,
            })
    }
    names(ty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handler_is_known_by_its_attribute_by_what_it_takes_and_by_what_it_returns() {
        let is = |text: &str| {
            let it: syn::ItemFn = syn::parse_str(text).unwrap();
            is_handler(&it.attrs, &it.sig)
        };
        for handler in [
            "#[get(\"/\")] async fn a() {}",
            "#[actix_web::post(\"/\")] async fn a() {}",
            "async fn a(State(s): State<S>) {}",
            "async fn a(Path(id): Path<u64>) {}",
            "async fn a(request: axum::extract::Request) {}",
            "async fn a(pool: web::Data<Pool>) {}",
            "async fn a() -> impl IntoResponse {}",
            "async fn a() -> Result<HttpResponse, E> {}",
            "async fn a() -> (StatusCode, String) {}",
        ] {
            assert!(is(handler), "{handler}");
        }
        for other in [
            "fn a(path: &Path) {}",
            "fn a(path: &std::path::Path) -> Result<Config> {}",
            "#[test] fn a() {}",
            "fn a(state: &AppState) {}",
            "fn a() -> Result<Pool, HttpResponse> {}",
        ] {
            assert!(!is(other), "{other}");
        }
    }
}
