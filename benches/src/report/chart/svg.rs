//! The few elements that the charts are made of.

use std::fmt::Write;

/// A drawing in the making. Coordinates are rounded to tenths, so that equal figures give equal bytes.
#[derive(Debug, Default)]
pub(super) struct Svg {
    body: String,
}

impl Svg {
    pub(super) fn text(&mut self, class: &str, (x, y): (f64, f64), text: &str) {
        self.line_of(&format!(r#"<text class="{class}" x="{x:.1}" y="{y:.1}">{}</text>"#, escaped(text)));
    }

    /// A name in `class`, and right behind it a figure.
    pub(super) fn label(&mut self, class: &str, (x, y): (f64, f64), name: &str, figure: &str) {
        let (name, figure) = (escaped(name), escaped(figure));
        self.line_of(&format!(
            r#"<text x="{x:.1}" y="{y:.1}"><tspan class="{class}">{name}</tspan> <tspan class="figure" dx="3">{figure}</tspan></text>"#
        ));
    }

    pub(super) fn segment(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        self.path(class, &[from, to]);
    }

    pub(super) fn path(&mut self, class: &str, points: &[(f64, f64)]) {
        let steps: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
        self.line_of(&format!(r#"<path class="{class}" d="M{}"/>"#, steps.join("L")));
    }

    pub(super) fn dot(&mut self, class: &str, (x, y): (f64, f64), radius: f64) {
        self.line_of(&format!(r#"<circle class="{class}" cx="{x:.1}" cy="{y:.1}" r="{radius}"/>"#));
    }

    /// A rectangle with round corners.
    pub(super) fn rounded(
        &mut self,
        class: &str,
        (x, y): (f64, f64),
        (width, height): (f64, f64),
        radius: f64,
    ) {
        self.line_of(&format!(
            r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" rx="{radius}"/>"#
        ));
    }

    /// The whole file. `about` is for who cannot see it.
    pub(super) fn finish(self, width: f64, height: f64, about: &str, style: &str) -> String {
        let mut file = String::new();
        let _ = writeln!(
            file,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-labelledby="about">"#
        );
        let _ = writeln!(file, r#"  <title id="about">{}</title>"#, escaped(about));
        let _ = writeln!(file, "  <style>{style}</style>");
        file + &self.body + "</svg>\n"
    }

    fn line_of(&mut self, element: &str) {
        self.body.push_str("  ");
        self.body.push_str(element);
        self.body.push('\n');
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
