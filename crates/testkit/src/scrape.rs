//! Reading what a Prometheus server would.

/// The value of the series `name` in a text of Prometheus' format, if it is there with all of these labels; the sum if
/// there are several.
pub fn metric(text: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let values = text.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let (found, of) = series.split_once('{').unwrap_or((series, ""));
        let has = |(label, value): &(&str, &str)| of.contains(&format!("{label}=\"{value}\""));
        (found == name && labels.iter().all(has)).then(|| value.parse::<f64>().ok())?
    });
    values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_found_by_its_name_and_labels() {
        let text = "# TYPE a counter\na{x=\"1\",y=\"2\"} 3\na{x=\"2\"} 4\nab 5\n";
        assert_eq!(metric(text, "a", &[]), Some(7.0));
        assert_eq!(metric(text, "a", &[("y", "2")]), Some(3.0));
        assert_eq!(metric(text, "ab", &[]), Some(5.0));
        assert_eq!(metric(text, "b", &[]), None);
    }
}
