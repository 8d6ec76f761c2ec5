//! What a Cargo.toml says: the crate's name, and by which names it knows which packages.

use std::collections::HashMap;

use toml::de::{DeTable, DeValue};

/// A manifest, as far as it matters here.
#[derive(Debug, Default)]
pub(super) struct Manifest {
    /// Of the package; nothing for a workspace without one.
    pub(super) name: Option<String>,
    /// What `[lib]` is called, if that differs.
    pub(super) lib: Option<String>,
    pub(super) dependencies: Vec<Dependency>,
    /// What members may inherit.
    pub(super) shared: HashMap<String, Dependency>,
    pub(super) is_workspace: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Dependency {
    /// The name by which code knows it, as it is written here.
    pub(super) key: String,
    pub(super) package: String,
    pub(super) features: Vec<String>,
    /// Counted from one.
    pub(super) line: usize,
    pub(super) is_inherited: bool,
    pub(super) is_dev: bool,
}

impl Manifest {
    /// # Errors
    ///
    /// The line and what is wrong there.
    pub(super) fn parse(text: &str) -> Result<Self, (usize, String)> {
        let lines = Lines::of(text);
        let document = DeTable::parse(text).map_err(|error| {
            let line = error.span().map_or(1, |span| lines.at(span.start));
            (line, error.message().replace('\n', " "))
        })?;
        let document = document.get_ref();
        let mut manifest = Self::default();
        let field = |table: &str| {
            let name = table_in(document, table)?.get("name")?.get_ref().as_str();
            name.map(str::to_owned)
        };
        manifest.name = field("package");
        manifest.lib = field("lib");
        manifest.depends(document, &lines);
        for (_, platform) in table_in(document, "target").into_iter().flatten() {
            if let DeValue::Table(platform) = platform.get_ref() {
                manifest.depends(platform, &lines);
            }
        }
        manifest.dependencies.sort_by_key(|dependency| dependency.line);
        if let Some(workspace) = table_in(document, "workspace") {
            manifest.is_workspace = true;
            let shared = dependencies(workspace, "dependencies", false, &lines);
            manifest.shared = shared.into_iter().map(|shared| (shared.key.clone(), shared)).collect();
        }
        Ok(manifest)
    }

    fn depends(&mut self, table: &DeTable<'_>, lines: &Lines) {
        for (section, is_dev) in
            [("dependencies", false), ("dev-dependencies", true), ("build-dependencies", false)]
        {
            self.dependencies.extend(dependencies(table, section, is_dev, lines));
        }
    }

    /// Looks up what is inherited.
    pub(super) fn inherit(&mut self, workspace: &Self) {
        for dependency in self.dependencies.iter_mut().filter(|dependency| dependency.is_inherited) {
            if let Some(shared) = workspace.shared.get(&dependency.key) {
                dependency.package.clone_from(&shared.package);
                dependency.features.extend(shared.features.iter().cloned());
            }
        }
    }
}

fn dependencies(table: &DeTable<'_>, section: &str, is_dev: bool, lines: &Lines) -> Vec<Dependency> {
    let mut found = Vec::new();
    for (key, value) in table_in(table, section).into_iter().flatten() {
        let line = lines.at(key.span().start);
        let key = key.get_ref().to_string();
        let mut dependency =
            Dependency { package: key.clone(), key, features: Vec::new(), line, is_inherited: false, is_dev };
        if let DeValue::Table(detail) = value.get_ref() {
            if let Some(package) = detail.get("package").and_then(|package| package.get_ref().as_str()) {
                package.clone_into(&mut dependency.package);
            }
            let features = detail.get("features").and_then(|features| features.get_ref().as_array());
            let features = features.into_iter().flat_map(|all| all.iter());
            dependency.features =
                features.filter_map(|it| it.get_ref().as_str()).map(str::to_owned).collect();
            dependency.is_inherited =
                detail.get("workspace").is_some_and(|it| it.get_ref().as_bool() == Some(true));
        }
        found.push(dependency);
    }
    found
}

fn table_in<'a, 'i>(table: &'a DeTable<'i>, name: &str) -> Option<&'a DeTable<'i>> {
    match table.get(name)?.get_ref() {
        DeValue::Table(table) => Some(table),
        _ => None,
    }
}

/// Where lines begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(at, _)| at).collect())
    }

    /// Counted from one.
    fn at(&self, byte: usize) -> usize {
        self.0.partition_point(|end| *end < byte) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_found_with_their_line_their_package_and_what_they_inherit() {
        let workspace = Manifest::parse(
            "[workspace]\n[workspace.dependencies]\nrds = { package = \"redis\", version = \"1\", features = [\"r2d2\"] }\n",
        )
        .unwrap();
        assert!(workspace.is_workspace && workspace.name.is_none());
        let text = "\
[package]
name = \"api\"

[dependencies]
serde = \"1\"
rds.workspace = true

[target.'cfg(unix)'.dependencies]
pool = { package = \"deadpool-redis\", version = \"0.23\" }

[dev-dependencies.bb8-redis]
version = \"0.26\"
";
        let mut manifest = Manifest::parse(text).unwrap();
        manifest.inherit(&workspace);
        let found: Vec<_> =
            manifest.dependencies.iter().map(|it| (it.key.as_str(), it.package.as_str(), it.line)).collect();
        let expected = [
            ("serde", "serde", 5),
            ("rds", "redis", 6),
            ("pool", "deadpool-redis", 9),
            ("bb8-redis", "bb8-redis", 11),
        ];
        assert_eq!(found, expected);
        assert_eq!(manifest.dependencies[1].features, ["r2d2"]);
        assert_eq!(manifest.name.as_deref(), Some("api"));
    }

    #[test]
    fn a_manifest_that_does_not_parse_tells_its_line() {
        let (line, why) = Manifest::parse("[package]\nname = \"a\"\nversion = \n").unwrap_err();
        assert_eq!(line, 3, "{why}");
    }
}
