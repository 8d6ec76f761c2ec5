//! The places as a person reads them.

use std::collections::BTreeMap;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::finding::{Finding, Kind, Scope};
use super::survey::Survey;

/// How long a count's name is where there is one of it, and where there are more.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

/// The first line: how much there is of what.
pub(super) fn summary(survey: &Survey) -> String {
    let counted: Vec<&Finding> = survey.findings.iter().filter(|it| it.allowed.is_none()).collect();
    let allowed = survey.findings.len() - counted.len();
    let allowed = match allowed {
        0 => String::new(),
        some => format!("; {} allowed by comments", count(some, "place is", "places are")),
    };
    let files = count(survey.files, "file", "files");
    if counted.is_empty() {
        return format!("No Redis client of its own in {files}{allowed}.");
    }
    let mut packages: Vec<&str> = counted.iter().map(|it| it.package.as_str()).collect();
    packages.sort_unstable();
    packages.dedup();
    let of = |scope: Scope| counted.iter().filter(|it| it.scope == scope).count();
    let blocking = counted.iter().filter(|it| it.block_on).count();
    let mut parts = Vec::new();
    for (number, what) in [
        (of(Scope::Request), "per request"),
        (of(Scope::Static), "in statics"),
        (of(Scope::Module), "per module"),
        (of(Scope::Test), "in tests"),
        (of(Scope::Manifest), "in manifests"),
    ] {
        if number > 0 {
            parts.push(format!("{number} {what}"));
        }
    }
    let blocking = match blocking {
        0 => String::new(),
        some => format!("; of these {some} beside a block_on"),
    };
    let have = match counted.len() {
        1 => "has a Redis client of its own",
        _ => "have Redis clients of their own",
    };
    format!(
        "{} of {} {have}: {}{blocking}{allowed}.",
        count(counted.len(), "place", "places"),
        count(packages.len(), "crate", "crates"),
        parts.join(", ")
    )
}

/// Escape sequences go where somebody sees them.
pub(super) fn write(survey: &Survey) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    let bold = Style::new().bold();
    let dim = Style::new().dimmed();
    writeln!(out, "{bold}{}{bold:#}", summary(survey))?;
    let widths = Widths::of(&survey.findings);
    let (mut package, mut file) = ("", "");
    for finding in &survey.findings {
        if finding.package != package {
            package = &finding.package;
            file = "";
            let all =
                survey.findings.iter().filter(|it| it.package == package && it.allowed.is_none()).count();
            writeln!(out, "\n{bold}{}{bold:#}: {}", plain(package), count(all, "place", "places"))?;
        }
        if finding.file != file {
            file = &finding.file;
            writeln!(out, "  {}", plain(file))?;
        }
        let mut scope = finding.scope.name().to_owned();
        if finding.block_on {
            scope.push_str(", block_on");
        }
        let style = match (&finding.allowed, finding.scope, finding.block_on) {
            (Some(_), ..) => dim,
            (None, Scope::Request, _) | (None, _, true) => AnsiColor::Red.on_default(),
            (None, Scope::Static, _) => AnsiColor::Yellow.on_default(),
            _ => Style::new(),
        };
        let replaced = match &finding.allowed {
            Some(reason) => format!("allowed: {}", plain(reason)),
            None => format!("-> {}", finding.replacement.replacement),
        };
        let kind = if finding.kind == Kind::Dependency { "-" } else { finding.style.name() };
        writeln!(
            out,
            "  {:>5}  {:<10}  {kind:<6}  {style}{scope:<scope_width$}{style:#}  {:<what_width$}  {replaced}",
            finding.line,
            finding.kind.name(),
            plain(&finding.what),
            scope_width = widths.scope,
            what_width = widths.what,
        )?;
    }
    replacements(&mut out, &survey.findings)?;
    out.flush()
}

/// What keeps the old code as it is meanwhile.
fn replacements(out: &mut impl Write, findings: &[Finding]) -> io::Result<()> {
    let (mut shims, mut written) = (BTreeMap::<&str, usize>::new(), BTreeMap::<&str, usize>::new());
    for finding in findings.iter().filter(|it| it.allowed.is_none()) {
        if let Some(shim) = finding.replacement.until_then {
            *shims.entry(shim).or_default() += 1;
        }
        if let Some(write) = finding.replacement.write_until_then {
            *written.entry(write).or_default() += 1;
        }
    }
    if !shims.is_empty() {
        writeln!(
            out,
            "\nTo go over one place at a time, these keep the old calls meanwhile, on the one pool:"
        )?;
    }
    for (shim, number) in shims {
        writeln!(out, "  {shim:<40}  {}", count(number, "place", "places"))?;
    }
    if !written.is_empty() {
        writeln!(
            out,
            "\nNo shim keeps a client's own get_connection_manager. In its place write meanwhile:"
        )?;
    }
    for (write, number) in written {
        writeln!(out, "  {write}  {}", count(number, "place", "places"))?;
    }
    Ok(())
}

struct Widths {
    scope: usize,
    what: usize,
}

impl Widths {
    fn of(findings: &[Finding]) -> Self {
        let blocks = findings.iter().any(|it| it.block_on);
        let what = findings.iter().map(|it| it.what.chars().count()).max().unwrap_or(0);
        Self { scope: if blocks { 21 } else { 11 }, what: what.min(56) }
    }
}

/// Names of files and crates may be anything.
fn plain(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '?' } else { char }).collect()
}
