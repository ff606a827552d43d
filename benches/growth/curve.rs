//! How a cost grows with a size.

use std::fmt;

/// What rises by no more than this from the smallest size to the largest is flat: so much do two runs of the same differ.
const FLAT: f64 = 1.25;

/// The costs of several runs at each size, smallest size first.
pub struct Curve {
    sizes: &'static [usize],
    costs: Vec<Vec<f64>>,
}

#[derive(Debug, PartialEq)]
pub enum Growth {
    Flat,
    Logarithmic,
    /// The power of the size that it follows over the last tenfold.
    Polynomial(f64),
}

impl Curve {
    pub fn new(sizes: &'static [usize]) -> Self {
        Self { sizes, costs: vec![Vec::new(); sizes.len()] }
    }

    pub fn add(&mut self, place: usize, cost: f64) {
        self.costs[place].push(cost);
    }

    /// Each size with the median of its costs.
    pub fn points(&self) -> Vec<(f64, f64)> {
        self.sizes.iter().zip(&self.costs).map(|(size, costs)| (*size as f64, median(costs))).collect()
    }

    /// The largest size with its cost.
    pub fn last(&self) -> (f64, f64) {
        self.points()[self.sizes.len() - 1]
    }

    /// The cost at the largest size by that at the smallest.
    pub fn ratio(&self) -> f64 {
        self.last().1 / self.points()[0].1
    }

    /// Flat if the line over the logarithm of the size that is nearest to the costs hardly rises. Or else logarithmic
    /// if the costs are nearer to it than to a line over the size itself.
    pub fn growth(&self) -> Growth {
        let points = self.points();
        let by_logarithm: Vec<_> = points.iter().map(|(size, cost)| (size.ln(), *cost)).collect();
        let line = Line::nearest(&by_logarithm);
        let ends = [0, points.len() - 1].map(|place| line.at(by_logarithm[place].0));
        // Where something is much dearer at the end, the line may begin below nothing.
        if ends[0] > 0.0 && ends[1] <= FLAT * ends[0] {
            return Growth::Flat;
        }
        if line.distance(&by_logarithm) <= Line::nearest(&points).distance(&points) {
            return Growth::Logarithmic;
        }
        let [.., (before, cheaper), (last, dearer)] = points[..] else { unreachable!("two sizes at least") };
        Growth::Polynomial((dearer / cheaper).ln() / (last / before).ln())
    }
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flat => f.write_str("flat"),
            Self::Logarithmic => f.write_str("logarithmic"),
            Self::Polynomial(power) => write!(f, "**as size^{power:.2}** at the end"),
        }
    }
}

fn median(costs: &[f64]) -> f64 {
    let mut costs = costs.to_vec();
    costs.sort_unstable_by(f64::total_cmp);
    costs[costs.len() / 2]
}

struct Line {
    height: f64,
    slope: f64,
}

impl Line {
    /// The one that points miss by the least sum of squares.
    fn nearest(points: &[(f64, f64)]) -> Self {
        let count = points.len() as f64;
        let mean = |part: fn(&(f64, f64)) -> f64| points.iter().map(part).sum::<f64>() / count;
        let (x_mean, y_mean) = (mean(|point| point.0), mean(|point| point.1));
        let sum = |part: &dyn Fn(f64, f64) -> f64| -> f64 {
            points.iter().map(|(x, y)| part(x - x_mean, y - y_mean)).sum()
        };
        let slope = sum(&|x, y| x * y) / sum(&|x, _| x * x);
        Self { height: y_mean - slope * x_mean, slope }
    }

    fn at(&self, x: f64) -> f64 {
        self.height + self.slope * x
    }

    fn distance(&self, points: &[(f64, f64)]) -> f64 {
        points.iter().map(|(x, y)| (y - self.at(*x)).powi(2)).sum()
    }
}
