//! The figures in Markdown.

use std::fmt::Write;

use super::Panel;

pub fn write(panel: &Panel) -> String {
    let axis = panel.axis;
    let sizes: String = axis.sizes.iter().map(|size| format!(" {} |", grouped(*size))).collect();
    let mut text = format!("| {} |{sizes} largest / smallest | growth |\n|---|", axis.name);
    text += &"---:|".repeat(axis.sizes.len() + 1);
    text += "---|\n";
    for (series, curve) in &panel.curves {
        let costs: String = curve.points().iter().map(|(_, cost)| format!(" {} |", time(*cost))).collect();
        writeln!(text, "| {} |{costs} {:.2} | {} |", series.name, curve.ratio(), curve.growth())
            .expect("a string");
    }
    text
}

/// A cost in microseconds, written. Three digits are more than a run is good for.
pub fn time(cost: f64) -> String {
    match cost {
        1e3.. => format!("{:.2} ms", cost / 1e3),
        100.0.. => format!("{cost:.0} µs"),
        10.0.. => format!("{cost:.1} µs"),
        _ => format!("{cost:.2} µs"),
    }
}

/// With commas between thousands.
pub fn grouped(size: usize) -> String {
    let digits = size.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).expect("digits")).collect();
    groups.join(",")
}
