//! All places below a folder.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, panic, thread};

use super::View;
use super::allow;
use super::declared::Declared;
use super::finding::{Finding, Kind, Problem, Scope, Style};
use super::hints::Hints;
use super::legacy;
use super::members::Members;
use super::names::Names;
use super::nesting;
use super::replacement;
use super::requests::Requests;
use super::scan::Scan;
use super::tree::{Source, Tree};

/// What an audit finds.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) findings: Vec<Finding>,
    pub(super) problems: Vec<Problem>,
    pub(super) files: usize,
    pub(super) manifests: usize,
}

/// Syntax is nested, and so are the functions that read it.
const STACK: usize = 256 << 20;

impl Survey {
    pub(super) fn of(root: &Path) -> Self {
        let mut tree = Tree::read(root);
        let mut survey = Self { problems: std::mem::take(&mut tree.problems), ..Self::default() };
        let mut names = Names::new(&tree);

        let mut concerned = Vec::new();
        let mut unread: Vec<usize> = (0..tree.sources.len())
            .filter(|&it| {
                let package = tree.sources[it].package;
                names.packages[package].is_concerned && !legacy::is_client(&tree.packages[package].name)
            })
            .collect();
        while !unread.is_empty() {
            let declared = in_parallel(&unread, |&number| {
                let source = &tree.sources[number];
                parse(source, &read(source)?).map(|file| Declared::of(&file))
            });
            concerned.append(&mut unread);
            let first = concerned.len() - declared.len();
            for (number, declared) in concerned[first..].iter().copied().zip(declared) {
                match declared {
                    Some(Ok(declared)) => {
                        for path in declared.modules.iter().flat_map(|module| &module.included) {
                            if tree.include(number, path) {
                                unread.push(tree.sources.len() - 1);
                            }
                        }
                        names.add(number, tree.sources[number].package, declared);
                    }
                    Some(Err(problem)) => survey.problems.push(problem),
                    None => {}
                }
            }
        }
        survey.files = tree.sources.len();
        survey.manifests = tree.manifests;
        names.link(&tree);
        let (members, requests) = (Members::of(&names), Requests::of(&names));
        let hints = Hints::of(&names, &members);

        let found = in_parallel(&concerned, |&number| {
            let source = &tree.sources[number];
            let own = names.of_file.get(number)?.as_ref()?;
            let text = read(source).ok().filter(|text| hints.is_in(text) || allow::is_in(text))?;
            let file = parse(source, &text).ok()?;
            let package = &tree.packages[source.package];
            let view = View {
                names: &names,
                members: &members,
                requests: &requests,
                package: source.package,
                node: own[0],
            };
            let within = source.path.strip_prefix(&package.folder).unwrap_or(&source.path);
            let is_test = ["tests", "benches", "examples"].iter().any(|it| within.starts_with(it))
                || names.is_test(own[0]);
            let mut scan = Scan::new(view, own, &source.shown, &package.name, is_test);
            syn::visit::visit_file(&mut scan, &file);
            let mut found = scan.found;
            let shims: HashSet<String> = own.iter().flat_map(|&node| names.shims(node)).collect();
            for finding in &mut found {
                finding.replacement.leave_out(&|shim| shims.contains(shim));
            }
            let problems = allow::apply(&source.shown, &text, &mut found);
            Some((found, problems))
        });
        for (found, problems) in found.into_iter().flatten().flatten() {
            survey.findings.extend(found);
            survey.problems.extend(problems);
        }
        survey.add_manifests(&tree);
        survey.findings.sort_by(|a, b| {
            (&a.package, &a.file, a.line, a.column).cmp(&(&b.package, &b.file, b.line, b.column))
        });
        survey.problems.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        survey
    }

    fn add_manifests(&mut self, tree: &Tree) {
        for package in tree.packages.iter().filter(|it| it.is_within && !legacy::is_client(&it.name)) {
            let first = self.findings.len();
            for dependency in package.manifest.iter().flat_map(|it| &it.dependencies) {
                if !legacy::PACKAGES.contains(&dependency.package.as_str())
                    && !legacy::is_r2d2(package, dependency)
                {
                    continue;
                }
                let what = if dependency.key == dependency.package {
                    dependency.package.clone()
                } else {
                    format!("{} (as {})", dependency.package, dependency.key)
                };
                self.findings.push(Finding {
                    file: package.shown.clone(),
                    line: dependency.line,
                    column: 1,
                    package: package.name.clone(),
                    kind: Kind::Dependency,
                    style: Style::Either,
                    scope: if dependency.is_dev { Scope::Test } else { Scope::Manifest },
                    block_on: false,
                    what,
                    function: None,
                    replacement: replacement::of_package(&dependency.package),
                    allowed: None,
                });
            }
            self.problems.extend(allow::apply(&package.shown, &package.text, &mut self.findings[first..]));
        }
    }
}

fn read(source: &Source) -> Result<String, Problem> {
    fs::read_to_string(&source.path).map_err(|error| {
        let message = match error.kind() {
            std::io::ErrorKind::InvalidData => "not looked at, as it is not valid UTF-8".to_owned(),
            _ => format!("not looked at: {error}"),
        };
        Problem::new(&source.shown, 0, message)
    })
}

/// # Errors
///
/// Where it does not parse, and why.
fn parse(source: &Source, text: &str) -> Result<syn::File, Problem> {
    // What the file before this one left there.
    proc_macro2::extra::invalidate_current_thread_spans();
    if let Some(line) = nesting::too_deep(text) {
        let message = "not looked at, as its syntax is nested too deep here".to_owned();
        return Err(Problem::new(&source.shown, line, message));
    }
    syn::parse_file(text).map_err(|error| {
        let message = format!("not looked at, as it does not parse: {error}");
        Problem::new(&source.shown, error.span().start().line, message)
    })
}

/// In the order in which they were given. `None` for one whose work failed.
fn in_parallel<I: Sync, T: Send>(items: &[I], work: impl Fn(&I) -> T + Sync) -> Vec<Option<T>> {
    let next = AtomicUsize::new(0);
    let mut all: Vec<Option<T>> = items.iter().map(|_| None).collect();
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get).min(items.len());
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .filter_map(|_| {
                let worker = || {
                    let mut done = Vec::new();
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(item) = items.get(at) else { return done };
                        done.push((at, work(item)));
                    }
                };
                thread::Builder::new().stack_size(STACK).spawn_scoped(scope, worker).ok()
            })
            .collect();
        for worker in workers {
            match worker.join() {
                Ok(done) => done.into_iter().for_each(|(at, result)| all[at] = Some(result)),
                Err(cause) => panic::resume_unwind(cause),
            }
        }
    });
    all
}
