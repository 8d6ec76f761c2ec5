//! The files below a folder, and the crate that each belongs to.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::finding::Problem;
use super::linked::join;
use super::manifest::Manifest;

/// What is looked at.
#[derive(Debug, Default)]
pub(super) struct Tree {
    root: PathBuf,
    pub(super) packages: Vec<Package>,
    pub(super) sources: Vec<Source>,
    pub(super) problems: Vec<Problem>,
    /// Below the folder, those that cannot be read among them.
    pub(super) manifests: usize,
}

#[derive(Debug)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) folder: PathBuf,
    /// `None` for sources that no manifest owns: everything may be in scope there.
    pub(super) manifest: Option<Manifest>,
    /// How a person finds the manifest.
    pub(super) shown: String,
    pub(super) text: String,
    /// Whether the manifest is below the folder that was asked for, and not only above it.
    pub(super) is_within: bool,
}

#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    /// Relative to the folder that was asked for, with `/` everywhere.
    pub(super) shown: String,
    pub(super) package: usize,
}

const MANIFEST: &str = "Cargo.toml";
/// For sources without a manifest.
const NOBODY: &str = "(no Cargo.toml)";

impl Tree {
    pub(super) fn read(root: &Path) -> Self {
        let mut tree = Self { root: root.to_path_buf(), ..Self::default() };
        let mut sources = Vec::new();
        let mut manifests = Vec::new();
        for entry in WalkDir::new(root).sort_by_file_name().into_iter().filter_entry(|entry| {
            entry.depth() == 0 || !(entry.file_type().is_dir() && is_left_out(entry.path()))
        }) {
            match entry {
                Ok(entry) if !entry.file_type().is_file() => {}
                Ok(entry) if entry.file_name() == MANIFEST => manifests.push(entry.into_path()),
                Ok(entry) if entry.path().extension().is_some_and(|it| it == "rs") => {
                    sources.push(entry.into_path());
                }
                Ok(_) => {}
                Err(error) => {
                    let path = error.path().map_or_else(|| root.into(), Path::to_path_buf);
                    let message = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
                    tree.problems.push(Problem::new(show(root, &path), 0, message));
                }
            }
        }
        let mut owners: HashMap<PathBuf, Option<usize>> = HashMap::new();
        tree.manifests = manifests.len();
        for path in manifests {
            tree.adopt(root, &path, true, &mut owners);
        }
        for path in sources {
            let folder = path.parent().unwrap_or(root).to_path_buf();
            let package = tree.owner(root, &folder, &mut owners);
            tree.sources.push(Source { shown: show(root, &path), path, package });
        }
        tree.inherit();
        tree
    }

    /// A file that a source includes, if it is below the folder and not known yet. True if it is now.
    pub(super) fn include(&mut self, by: usize, path: &str) -> bool {
        let Some(by) = self.sources.get(by) else { return false };
        let path = join(by.path.parent().unwrap_or(Path::new("")), path);
        if !path.starts_with(&self.root) || !path.is_file() || self.sources.iter().any(|it| it.path == path) {
            return false;
        }
        let package = by.package;
        self.sources.push(Source { shown: show(&self.root, &path), path, package });
        true
    }

    /// Reads a manifest. One without a package owns nothing.
    fn adopt(
        &mut self,
        root: &Path,
        path: &Path,
        is_within: bool,
        owners: &mut HashMap<PathBuf, Option<usize>>,
    ) {
        let folder = path.parent().unwrap_or(root).to_path_buf();
        let shown = show(root, path);
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => return self.problems.push(Problem::new(shown, 0, error.to_string())),
        };
        match Manifest::parse(&text) {
            Ok(manifest) => {
                let number = self.packages.len();
                if manifest.name.is_some() {
                    owners.insert(folder.clone(), Some(number));
                }
                let name = manifest.name.clone().unwrap_or_default();
                self.packages.push(Package {
                    name,
                    folder,
                    manifest: Some(manifest),
                    shown,
                    text,
                    is_within,
                });
            }
            Err((line, message)) => self.problems.push(Problem::new(shown, line, message)),
        }
    }

    /// The nearest package at or above this folder.
    fn owner(&mut self, root: &Path, folder: &Path, owners: &mut HashMap<PathBuf, Option<usize>>) -> usize {
        let absolute = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_path_buf());
        let mut nobody = None;
        for above in folder.ancestors().map(Path::to_path_buf) {
            if let Some(Some(package)) = owners.get(&above) {
                return *package;
            }
        }
        // Above what was asked for.
        for above in absolute.ancestors().map(Path::to_path_buf) {
            match owners.get(&above) {
                Some(Some(package)) => return *package,
                Some(None) => continue,
                None => {}
            }
            let path = above.join(MANIFEST);
            let is_known = self.packages.iter().any(|package| package.folder == above);
            if path.is_file() && !is_known {
                self.adopt(root, &path, false, owners);
            }
            if let Some(Some(package)) = owners.get(&above) {
                return *package;
            }
            owners.insert(above, None);
        }
        for (number, package) in self.packages.iter().enumerate() {
            if package.manifest.is_none() {
                nobody = Some(number);
            }
        }
        nobody.unwrap_or_else(|| {
            self.packages.push(Package {
                name: NOBODY.to_owned(),
                folder: root.to_path_buf(),
                manifest: None,
                shown: String::new(),
                text: String::new(),
                is_within: false,
            });
            self.packages.len() - 1
        })
    }

    fn inherit(&mut self) {
        for number in 0..self.packages.len() {
            let needs = self.packages[number]
                .manifest
                .as_ref()
                .is_some_and(|manifest| manifest.dependencies.iter().any(|it| it.is_inherited));
            if !needs {
                continue;
            }
            let folder = &self.packages[number].folder;
            let folder = fs::canonicalize(folder).unwrap_or_else(|_| folder.clone());
            let workspace = folder.ancestors().find_map(|above| {
                let text = fs::read_to_string(above.join(MANIFEST)).ok()?;
                Manifest::parse(&text).ok().filter(|manifest| manifest.is_workspace)
            });
            if let (Some(workspace), Some(manifest)) = (workspace, &mut self.packages[number].manifest) {
                manifest.inherit(&workspace);
            }
        }
    }
}

/// What cargo made or brought, and what is hidden.
fn is_left_out(folder: &Path) -> bool {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with('.')
        || name == "node_modules"
        || folder.join("CACHEDIR.TAG").is_file()
        || folder.join(".cargo-checksum.json").is_file()
}

fn show(root: &Path, path: &Path) -> String {
    let relative = path.strip_prefix(root).unwrap_or(path);
    let relative = if relative.as_os_str().is_empty() { path } else { relative };
    relative.to_string_lossy().replace('\\', "/")
}
