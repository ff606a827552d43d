//! The curves as SVG: a panel for each thing that grows, its sizes by their logarithm, all costs on one scale from zero.

use std::fmt::Write;

use super::Panel;
use super::axis::Axis;
use super::curve::Curve;
use super::table::time;

/// Of the axes of one panel, without what stands around them.
const WIDTH: f64 = 180.0;
const HEIGHT: f64 = 170.0;

const LEFT: f64 = 46.0;
const GAP: f64 = 30.0;
const TOP: f64 = 92.0;
const BOTTOM: f64 = 38.0;

/// From the ends of the axis of sizes to the smallest and the largest.
const INSET: f64 = 14.0;

/// A curve leaves the picture where it is so much dearer than all are at their beginnings: it would press the others to the
/// ground.
const MOST: f64 = 1.6;

/// Lines of the grid, about.
const LINES: f64 = 5.0;

/// The picture brings its ground along, so that it can be read on any page.
const STYLE: &str = "\
svg { font: 11px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', Arial, sans-serif }
.ground { fill: #fff; stroke: #d0d7de }
.axis { fill: none; stroke: #8c959f }
.grid { stroke: #e4e8ec }
.curve { fill: none; stroke-width: 2; stroke-linejoin: round }
text { fill: #57606a }
.note { paint-order: stroke; stroke: #fff; stroke-width: 5; stroke-linejoin: round }
.title { fill: #1f2328; font-weight: 600; font-size: 12px }
.s0 { color: #0969da } .s1 { color: #bc4c00 } .s2 { color: #1a7f37 }
@media (prefers-color-scheme: dark) {
  .ground { fill: #0d1117; stroke: #30363d }
  .axis { stroke: #6e7681 }
  .grid { stroke: #21262d }
  text { fill: #9198a1 }
  .note { stroke: #0d1117 }
  .title { fill: #e6edf3 }
  .s0 { color: #58a6ff } .s1 { color: #f0883e } .s2 { color: #3fb950 }
}";

pub fn draw(panels: &[Panel]) -> String {
    let width = LEFT + panels.len() as f64 * (WIDTH + GAP) - GAP + 22.0;
    let height = TOP + HEIGHT + BOTTOM;
    let mut svg = Svg(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" role=\"img\">\n<title>What a message costs as what is around it grows</title>\n\
         <style>\n{STYLE}\n</style>\n<rect class=\"ground\" x=\".5\" y=\".5\" width=\"{}\" height=\"{}\" rx=\"6\"/>\n",
        width - 1.0,
        height - 1.0
    ));
    svg.text("title", "start", (16.0, 24.0), "µs of the gateway's CPU time for one message of 128 B");
    // Every panel has the same series, unless a filter left some out.
    let curves = panels.iter().map(|panel| &panel.curves).max_by_key(|curves| curves.len());
    for (class, (series, _)) in curves.into_iter().flatten().enumerate() {
        let at = (24.0 + 180.0 * class as f64, 46.0);
        svg.mark(class, at);
        svg.text("", "start", (at.0 + 10.0, at.1 + 4.0), series.name);
    }
    let scale = Scale::of(panels);
    for (place, panel) in panels.iter().enumerate() {
        let frame = Frame { left: LEFT + place as f64 * (WIDTH + GAP), axis: panel.axis, scale: &scale };
        svg.axes(&frame);
        for (class, (_, curve)) in panel.curves.iter().enumerate() {
            svg.curve(class, curve, &frame);
        }
        for (class, (_, curve)) in panel.curves.iter().enumerate() {
            svg.note(class, curve, &frame);
        }
    }
    svg.0 + "</svg>\n"
}

/// The costs, upwards.
struct Scale {
    step: f64,
    most: f64,
}

impl Scale {
    fn of(panels: &[Panel]) -> Self {
        let curves = || panels.iter().flat_map(|panel| &panel.curves).map(|(_, curve)| curve.points());
        let dearest = curves().flatten().map(|(_, cost)| cost).fold(0.0, f64::max);
        let dearest_first = curves().map(|points| points[0].1).fold(0.0, f64::max);
        let most = dearest.min(MOST * dearest_first);
        let tenfold = 10_f64.powf((most / LINES).log10().floor());
        let steps = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * tenfold);
        let step = steps.into_iter().find(|step| step * LINES >= most).unwrap_or(steps[3]);
        Self { step, most: (most / step).ceil() * step }
    }

    fn y(&self, cost: f64) -> f64 {
        TOP + HEIGHT * (1.0 - cost / self.most)
    }
}

/// Where one panel stands.
struct Frame<'p> {
    left: f64,
    axis: &'p Axis,
    scale: &'p Scale,
}

impl Frame<'_> {
    fn x(&self, size: f64) -> f64 {
        let sizes = self.axis.sizes;
        let (least, most) = (sizes[0] as f64, sizes[sizes.len() - 1] as f64);
        self.left + INSET + (size / least).ln() / (most / least).ln() * (WIDTH - 2.0 * INSET)
    }
}

struct Svg(String);

impl Svg {
    fn axes(&mut self, frame: &Frame<'_>) {
        let Frame { left, axis, scale } = frame;
        let (right, bottom) = (left + WIDTH, TOP + HEIGHT);
        self.text("title", "middle", (left + WIDTH / 2.0, TOP - 12.0), axis.name);
        let lines = (scale.most / scale.step).round() as usize;
        for line in 0..=lines {
            let cost = line as f64 * scale.step;
            let y = scale.y(cost);
            self.line(&format!("<path class=\"grid\" d=\"M{left} {y:.1}H{right}\"/>"));
            let digits = usize::from(scale.step < 1.0);
            self.text("", "end", (left - 5.0, y + 4.0), &format!("{cost:.digits$}"));
        }
        self.line(&format!("<path class=\"axis\" d=\"M{left} {TOP}V{bottom}H{right}\"/>"));
        for size in axis.sizes {
            let x = frame.x(*size as f64);
            self.line(&format!("<path class=\"axis\" d=\"M{x:.1} {bottom}v4\"/>"));
            self.text("", "middle", (x, bottom + 18.0), &short(*size));
        }
    }

    fn curve(&mut self, class: usize, curve: &Curve, frame: &Frame<'_>) {
        let mut path = String::new();
        let mut before: Option<(f64, f64)> = None;
        for (size, cost) in curve.points() {
            let (x, y) = (frame.x(size), frame.scale.y(cost));
            let verb = if before.is_some() { 'L' } else { 'M' };
            if y < TOP {
                let x = before.map_or(x, |(from, low)| from + (x - from) * (low - TOP) / (low - y));
                write!(path, "{verb}{x:.1} {TOP}").expect("a string");
                break;
            }
            write!(path, "{verb}{x:.1} {y:.1}").expect("a string");
            self.mark(class, (x, y));
            before = Some((x, y));
        }
        self.line(&format!("<path class=\"curve s{class}\" stroke=\"currentColor\" d=\"{path}\"/>"));
    }

    /// Where a curve goes that leaves the picture.
    fn note(&mut self, class: usize, curve: &Curve, frame: &Frame<'_>) {
        let (size, cost) = curve.last();
        if frame.scale.y(cost) < TOP {
            let at = (frame.left + WIDTH - 4.0, TOP + 14.0 + 15.0 * class as f64);
            self.text("note", "end", at, &format!("{} at {}", time(cost), short(size as usize)));
            self.mark(class, (at.0 + 9.0, at.1 - 4.0));
        }
    }

    /// Another shape for each series, so that nobody needs its colour.
    fn mark(&mut self, class: usize, (x, y): (f64, f64)) {
        let shape = match class {
            0 => format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.6\""),
            1 => format!("<path d=\"M{:.1} {:.1}h6.6v6.6h-6.6z\"", x - 3.3, y - 3.3),
            _ => format!("<path d=\"M{x:.1} {:.1}l4.4 7.6h-8.8z\"", y - 4.8),
        };
        self.line(&format!("{shape} class=\"s{class}\" fill=\"currentColor\"/>"));
    }

    fn text(&mut self, class: &str, anchor: &str, (x, y): (f64, f64), text: &str) {
        self.line(&format!(
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
        ));
    }

    fn line(&mut self, element: &str) {
        self.0 += element;
        self.0.push('\n');
    }
}

/// As few characters as a label of an axis has room for.
fn short(size: usize) -> String {
    match size {
        1_000_000.. => format!("{} M", size / 1_000_000),
        1_000.. => format!("{} k", size / 1_000),
        _ => size.to_string(),
    }
}
