//! Tables that read well in a terminal and are Markdown too.

/// Lays out rows under a heading line, the first column to the left and the others to the right.
pub(crate) fn markdown(heading: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([heading[column].chars().count(), 3]).max().unwrap_or(3)
    };
    let widths: Vec<usize> = (0..heading.len()).map(width).collect();
    let line = |cells: &[String]| {
        let padded = cells.iter().zip(&widths).enumerate().map(|(index, (cell, &width))| {
            if index == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        format!("| {} |\n", padded.collect::<Vec<_>>().join(" | "))
    };
    let rule = widths.iter().enumerate().map(|(index, &width)| {
        if index == 0 { "-".repeat(width) } else { format!("{}:", "-".repeat(width - 1)) }
    });
    let heading: Vec<String> = heading.iter().map(|&cell| cell.to_owned()).collect();
    let mut text = line(&heading);
    text += &format!("| {} |\n", rule.collect::<Vec<_>>().join(" | "));
    for row in rows {
        text += &line(row);
    }
    text
}

/// A number with as many decimals as its size deserves.
pub(crate) fn figure(value: f64) -> String {
    match value.abs() {
        size if !size.is_finite() => "—".into(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// The middle value and the ends.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> (f64, f64, f64) {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let (Some(&low), Some(&high)) = (sorted.first(), sorted.last()) else {
        return (f64::NAN, f64::NAN, f64::NAN);
    };
    let (upper, lower) = (sorted[sorted.len() / 2], sorted[(sorted.len() - 1) / 2]);
    (f64::midpoint(lower, upper), low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [vec!["bridge".into(), "41.2".into()], vec!["x".into(), "—".into()]];
        let text = markdown(&["path", "Gbit/s"], &rows);
        assert_eq!(
            text,
            "| path   | Gbit/s |\n| ------ | -----: |\n| bridge |   41.2 |\n| x      |      — |\n"
        );
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]), (2.0, 1.0, 3.0));
        assert_eq!(median([4.0, 1.0]), (2.5, 1.0, 4.0));
        assert!(median([]).0.is_nan());
    }
}
