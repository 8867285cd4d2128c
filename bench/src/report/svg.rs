//! Plots, as plain SVG: a handful of shapes needs no library, and the files stay readable in a diff.

use std::fmt::Write as _;

const FONT: &str = "font-family=\"sans-serif\"";
/// Colours that differ in lightness too, for readers who see them as greys.
pub(super) const COLOURS: [&str; 6] = ["#9aa0a6", "#7fb3d5", "#1f618d", "#c0392b", "#e59866", "#7d6608"];

/// A drawing of this size.
pub(super) struct Canvas {
    width: f64,
    height: f64,
    shapes: String,
}

/// Where a text is held.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Canvas {
    pub(super) fn new(width: f64, height: f64) -> Self {
        Self { width, height, shapes: String::new() }
    }

    pub(super) fn text(&mut self, (x, y): (f64, f64), size: f64, anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        let _ = writeln!(
            self.shapes,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" text-anchor=\"{anchor}\" {FONT} fill=\"#222\">{text}</text>"
        );
    }

    /// A text along the left edge, from below.
    pub(super) fn upright(&mut self, (x, y): (f64, f64), size: f64, text: &str) {
        let _ = writeln!(
            self.shapes,
            "<text transform=\"translate({x:.1} {y:.1}) rotate(-90)\" font-size=\"{size}\" text-anchor=\"middle\" {FONT} fill=\"#222\">{text}</text>"
        );
    }

    pub(super) fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), colour: &str, width: f64) {
        let _ = writeln!(
            self.shapes,
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\" stroke-width=\"{width}\"/>"
        );
    }

    pub(super) fn dot(&mut self, (x, y): (f64, f64), radius: f64, colour: &str) {
        let _ = writeln!(self.shapes, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{colour}\"/>");
    }

    pub(super) fn finish(self) -> String {
        let Self { width, height, shapes } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\">\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n{shapes}</svg>\n"
        )
    }
}

/// From values to places.
#[derive(Clone, Copy)]
pub(super) struct Axis {
    from: f64,
    to: f64,
    start: f64,
    end: f64,
    logarithmic: bool,
}

impl Axis {
    /// Values in proportion.
    pub(super) fn linear((from, to): (f64, f64), (start, end): (f64, f64)) -> Self {
        Self { from, to, start, end, logarithmic: false }
    }

    /// Powers of ten at equal distances, over whole powers that hold all values.
    pub(super) fn logarithmic((from, to): (f64, f64), (start, end): (f64, f64)) -> Self {
        let (from, to) = (10f64.powf(from.log10().floor()), 10f64.powf(to.log10().ceil()));
        Self { from, to: if to > from { to } else { from * 10.0 }, start, end, logarithmic: true }
    }

    /// Where a value lies; one beyond the ends, at that end.
    pub(super) fn at(&self, value: f64) -> f64 {
        let share = if self.logarithmic {
            (value.max(self.from) / self.from).log10() / (self.to / self.from).log10()
        } else {
            (value - self.from) / (self.to - self.from)
        };
        self.start + (self.end - self.start) * share.clamp(0.0, 1.0)
    }

    /// Values worth a label.
    pub(super) fn ticks(&self) -> Vec<f64> {
        if self.logarithmic {
            let powers = (self.to / self.from).log10().round() as i32;
            return (0..=powers).map(|power| self.from * 10f64.powi(power)).collect();
        }
        let step = nice_step((self.to - self.from) / 5.0);
        let first = (self.from / step).ceil() as i64;
        (first..).map(|index| index as f64 * step).take_while(|value| *value <= self.to + step / 1e6).collect()
    }
}

/// The next of 1, 2, 5 times a power of ten.
fn nice_step(rough: f64) -> f64 {
    let power = 10f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|n| n * power).find(|step| *step >= rough * 0.999).unwrap_or(power * 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logarithmic_axis_has_whole_powers() {
        let axis = Axis::logarithmic((30.0, 20_000.0), (0.0, 400.0));
        assert_eq!(axis.ticks(), [10.0, 100.0, 1000.0, 10_000.0, 100_000.0]);
        assert_eq!((axis.at(10.0), axis.at(1000.0), axis.at(-5.0)), (0.0, 200.0, 0.0));
    }

    #[test]
    fn a_linear_axis_has_round_ticks() {
        let axis = Axis::linear((0.0, 9.0), (100.0, 0.0));
        assert_eq!(axis.ticks(), [0.0, 2.0, 4.0, 6.0, 8.0]);
        assert!((axis.at(4.5) - 50.0).abs() < 1e-9);
    }

    #[test]
    fn texts_are_escaped() {
        let mut canvas = Canvas::new(10.0, 10.0);
        canvas.text((1.0, 1.0), 10.0, Anchor::Start, "a < b & c");
        assert!(canvas.finish().contains(">a &lt; b &amp; c<"));
    }
}
