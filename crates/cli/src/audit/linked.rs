//! Which file is which module: `mod name;`, and what is `include!`d.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::declared::{InFile, Route};
use super::names::{Names, NodeId};
use super::tree::Tree;

impl Names {
    /// Joins `mod name;` and the file that it means.
    pub(super) fn link(&mut self, tree: &Tree) {
        let files: HashMap<&Path, usize> =
            tree.sources.iter().enumerate().map(|(number, it)| (it.path.as_path(), number)).collect();
        for (number, source) in tree.sources.iter().enumerate() {
            let Some(own) = self.of_file.get(number).cloned().flatten() else { continue };
            let folder = source.path.parent().unwrap_or(Path::new(""));
            for &node in &own {
                let below = self.folder_of(node, own[0], &source.path);
                for InFile { name, path, is_test } in std::mem::take(&mut self.nodes[node].module.files) {
                    let candidates: Vec<PathBuf> = match &path {
                        Some(path) if node == own[0] => vec![join(folder, path)],
                        Some(path) => vec![join(&below, path)],
                        // A root's modules are beside it, whatever it is called.
                        None => [below.clone(), folder.to_path_buf()]
                            .iter()
                            .flat_map(|at| [at.join(format!("{name}.rs")), at.join(&name).join("mod.rs")])
                            .collect(),
                    };
                    let found = candidates.iter().find_map(|path| files.get(path.as_path()));
                    let Some(child) =
                        found.and_then(|file| self.of_file.get(*file)?.as_ref()).map(|it| it[0])
                    else {
                        continue;
                    };
                    let is_for_tests = &mut self.nodes[child].is_for_tests;
                    *is_for_tests = Some(is_test && is_for_tests.unwrap_or(true));
                    self.adopt(node, own[0], name, child);
                }
                for path in std::mem::take(&mut self.nodes[node].module.included) {
                    let file = files.get(join(folder, &path).as_path());
                    let Some(child) = file.and_then(|file| self.of_file.get(*file)?.as_ref()).map(|it| it[0])
                    else {
                        continue;
                    };
                    // No module of its own: each sees the names of the other, private ones too.
                    let name = format!("include!({path})");
                    let route = |names: Vec<String>| Route { is_global: false, names };
                    self.nodes[child].module.globs.push(route(vec!["super".to_owned()]));
                    self.nodes[node].module.globs.push(route(vec!["self".to_owned(), name.clone()]));
                    self.adopt(node, own[0], name, child);
                }
            }
            let is_library = source.path.ends_with("src/lib.rs");
            let library = &mut self.packages[source.package].library;
            if is_library || library.is_none() && source.path.ends_with("lib.rs") {
                *library = Some(own[0]);
            }
        }
        self.open_globs();
    }

    /// Makes a file a module of another file's module.
    fn adopt(&mut self, node: NodeId, file: NodeId, name: String, child: NodeId) {
        if child == file {
            return;
        }
        self.nodes[node].children.entry(name).or_default().push(child);
        if self.nodes[child].parent.is_none() && !self.is_above(child, node) {
            self.nodes[child].parent = Some(node);
        }
    }

    /// Where a module's own modules are.
    fn folder_of(&self, mut node: NodeId, file: NodeId, path: &Path) -> PathBuf {
        let mut inner = Vec::new();
        while node != file {
            inner.push(self.nodes[node].module.name.clone());
            let Some(parent) = self.nodes[node].parent else { break };
            node = parent;
        }
        let mut folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if !matches!(stem, "mod" | "lib" | "main") {
            folder.push(stem);
        }
        folder.extend(inner.iter().rev());
        folder
    }

    fn is_above(&self, node: NodeId, mut below: NodeId) -> bool {
        loop {
            if below == node {
                return true;
            }
            match self.nodes[below].parent {
                Some(parent) => below = parent,
                None => return false,
            }
        }
    }
}

/// Without the `..` in it.
pub(super) fn join(folder: &Path, path: &str) -> PathBuf {
    let mut joined = folder.to_path_buf();
    for part in Path::new(path).components() {
        match part {
            std::path::Component::ParentDir => drop(joined.pop()),
            std::path::Component::CurDir => {}
            other => joined.push(other),
        }
    }
    joined
}
