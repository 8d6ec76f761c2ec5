//! The patch crates as text, for whoever writes them into a tree: `cenote patch`.
//!
//! The registry cannot carry the names `deadpool-redis` and `bb8-redis` twice. A crate of that name, by its path in
//! `[patch.crates-io]`, replaces the published one for a whole workspace, dependencies of dependencies included.

/// Where a patch crate finds this one.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum ShimAt<'a> {
    /// In the registry, in this version requirement, such as `0.1`.
    Version(&'a str),
    /// In this folder: absolute, or as seen from the patch crate's own folder.
    Path(&'a str),
}

/// A file of a patch crate.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct File {
    /// Below the crate's folder, with `/`.
    pub path: &'static str,
    /// What it says.
    pub text: String,
}

/// The crates that can be patched.
pub const NAMES: &[&str] = &["deadpool-redis", "bb8-redis"];

/// The files of the patch crate of this name; `None` if there is none.
///
/// ```
/// use cenote_compat_shim::patch::{self, ShimAt};
///
/// let files = patch::files("deadpool-redis", ShimAt::Version("0.1")).expect("it is one of NAMES");
/// assert!(files.iter().any(|file| file.path == "Cargo.toml"));
/// assert!(patch::files("serde", ShimAt::Version("0.1")).is_none());
/// ```
pub fn files(name: &str, shim: ShimAt<'_>) -> Option<Vec<File>> {
    let (manifest, lib) = match name {
        "deadpool-redis" => (include_str!("deadpool-redis.toml"), include_str!("deadpool-redis.rs")),
        "bb8-redis" => (include_str!("bb8-redis.toml"), include_str!("bb8-redis.rs")),
        _ => return None,
    };
    let shim = match shim {
        ShimAt::Version(version) => format!("version = {version:?}"),
        // Cargo takes forward slashes everywhere.
        ShimAt::Path(path) => format!("path = {:?}", path.replace('\\', "/")),
    };
    let manifest = manifest.replace("@SHIM@", &shim);
    Some(vec![File { path: "Cargo.toml", text: manifest }, File { path: "src/lib.rs", text: lib.to_owned() }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_patch_crates_in_the_tree_are_what_is_written() {
        for name in NAMES {
            for file in files(name, ShimAt::Path("../..")).unwrap() {
                let path = format!("{}/patch/{name}/{}", env!("CARGO_MANIFEST_DIR"), file.path);
                if std::env::var_os("CENOTE_WRITE_PATCH").is_some() {
                    std::fs::write(&path, &file.text).unwrap();
                }
                assert_eq!(std::fs::read_to_string(&path).unwrap(), file.text, "{path}");
            }
        }
    }

    #[test]
    fn all_features_of_upstream_are_there() {
        let manifest = include_str!("deadpool-redis.toml");
        let upstream = "acl ahash bigdecimal bloom cache-aio cluster cluster-async connection-manager default entra-id \
            geospatial json num-bigint rt_smol_2 rt_tokio_1 rust_decimal script search_unfinished sentinel serde \
            smol-comp smol-native-tls-comp smol-rustls-comp streams tls-native-tls tls-rustls tls-rustls-insecure \
            tls-rustls-webpki-roots token-based-authentication tokio-comp tokio-native-tls-comp tokio-rustls-comp \
            uuid vector-sets";
        let names: Vec<_> = upstream.split_whitespace().collect();
        assert_eq!(names.len(), 34);
        for name in names {
            assert!(manifest.contains(&format!("\n{name} = [")), "{name}");
        }
    }
}
