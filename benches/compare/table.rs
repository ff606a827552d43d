//! The comparison in Markdown: one table of what counts and whether it is reached, one of everything measured.

use std::fmt::Write;

use super::contender::{Contender, Kind};
use super::goal::{Entry, best_nats};
use super::medians::{Medians, count};
use super::scenario::Scenario;

/// A scenario with what each contender came to; `None` where it does not take part.
pub struct Line<'a> {
    pub scenario: &'a Scenario,
    pub medians: Vec<Option<Medians>>,
}

/// The tables, and whether every goal is reached. One that could not be judged, because what it compares with was not measured,
/// is not.
pub fn write(contenders: &[Contender], lines: &[Line<'_>]) -> (String, bool) {
    let (summary, is_reached) = summary(contenders, lines);
    (format!("{summary}\n{}", details(contenders, lines)), is_reached)
}

fn summary(contenders: &[Contender], lines: &[Line<'_>]) -> (String, bool) {
    let mut text = String::from("| scenario |");
    contenders.iter().for_each(|contender| write!(text, " {} |", contender.name).expect("a string"));
    text += " × floor | to reach | measured | reached |\n|---|";
    text += &"---:|".repeat(contenders.len() + 3);
    text += ":---:|\n";
    let mut is_all_reached = true;
    for line in lines {
        write!(text, "| {} |", line.scenario.name).expect("a string");
        for medians in &line.medians {
            write!(text, " {} |", medians.as_ref().map(Medians::headline).unwrap_or_default())
                .expect("a string");
        }
        let entries = entries(contenders, line);
        // The first Portcullis is the one that the goals are for.
        let mine = entries.iter().find(|entry| matches!(entry.kind, Kind::Portcullis { .. }));
        let goals = line.scenario.goals;
        let verdicts: Vec<_> = goals.iter().filter_map(|goal| goal.judge(mine?.medians, &entries)).collect();
        let column = |cell: fn(&super::goal::Verdict) -> &str| {
            verdicts.iter().map(cell).collect::<Vec<_>>().join("<br>")
        };
        writeln!(
            text,
            " {} | {} | {} | {} |",
            mine.and_then(|mine| mine.of_the_floor(&entries)).unwrap_or_default(),
            column(|verdict| &verdict.wanted),
            column(|verdict| &verdict.measured),
            column(|verdict| if verdict.is_reached { "yes" } else { "**no**" })
        )
        .expect("a string");
        is_all_reached &= verdicts.len() == goals.len() && verdicts.iter().all(|verdict| verdict.is_reached);
    }
    (text, is_all_reached)
}

fn details(contenders: &[Contender], lines: &[Line<'_>]) -> String {
    let mut text = String::from(
        "| scenario | server | a second | a CPU second | least to most | × better nats-server | \
         p50 / p99 / p99.9 | resident |\n|---|---|---:|---:|---:|---:|---:|---:|\n",
    );
    for line in lines {
        let best = best_nats(&entries(contenders, line));
        let rows = contenders.iter().zip(&line.medians);
        let rows = rows.filter_map(|(contender, medians)| Some((contender, medians.as_ref()?)));
        for (row, (contender, medians)) in rows.enumerate() {
            let scenario = if row == 0 { line.scenario.name } else { "" };
            let resident = medians.resident / 1024.0;
            let rates = match (medians.session, best) {
                (Some(session), _) => format!("| | | | {session:.1} KiB each"),
                (None, best) => {
                    let ratio = best.map(|best| format!("{:.2}", medians.per_cpu / best)).unwrap_or_default();
                    let (rate, per_cpu) = (count(medians.rate), count(medians.per_cpu));
                    let (least, most) = (count(medians.spread.0), count(medians.spread.1));
                    let latency = medians.latency.map(|_| medians.headline()).unwrap_or_default();
                    format!("{rate} | {per_cpu} | {least} to {most} | {ratio} | {latency}")
                }
            };
            writeln!(text, "| {scenario} | {} | {rates} | {resident:.1} MiB |", contender.name)
                .expect("a string");
        }
    }
    text
}

fn entries<'a>(contenders: &'a [Contender], line: &'a Line<'_>) -> Vec<Entry<'a>> {
    let medians = contenders.iter().zip(&line.medians);
    medians
        .filter_map(|(contender, medians)| Some(Entry { kind: &contender.kind, medians: medians.as_ref()? }))
        .collect()
}
