//! The matrix as a table for people and for golden files.

use std::fmt;

use super::{Conversation, Matrix, Overlap, Row};
use crate::identity::{Role, RuleName};
use crate::policy::{Responses, Rule};

const ACTION_WIDTH: usize = "deny_subscribe".len();

/// One line below a service: what it may do, to what, and which grant says so.
struct Line {
    action: &'static str,
    what: String,
    rule: Option<String>,
}

impl fmt::Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<Vec<Line>> = self.rows.iter().map(lines).collect();
        let width = widest(rows.iter().flatten().map(|line| line.what.as_str()));
        for (row, lines) in self.rows.iter().zip(&rows) {
            write_heading(f, row)?;
            for line in lines {
                write_line(f, line, width)?;
            }
            writeln!(f)?;
        }
        write_conversations(f, &self.conversations)
    }
}

fn write_heading(f: &mut fmt::Formatter<'_>, row: &Row) -> fmt::Result {
    write!(f, "{}", row.who)?;
    if !row.roles.is_empty() {
        let roles: Vec<&str> = row.roles.iter().map(Role::as_str).collect();
        write!(f, " (roles: {})", roles.join(", "))?;
    }
    writeln!(f)
}

fn write_line(f: &mut fmt::Formatter<'_>, line: &Line, width: usize) -> fmt::Result {
    let Line { action, what, rule } = line;
    match rule {
        Some(rule) => writeln!(f, "  {action:ACTION_WIDTH$}  {what:width$}  by {rule}"),
        None => writeln!(f, "  {action:ACTION_WIDTH$}  {what}"),
    }
}

fn lines(row: &Row) -> Vec<Line> {
    let mut lines = vec![match &row.connect {
        Ok(rule) => line("connect", "yes", Some(rule)),
        Err(denial) => line("connect", "no", denial.rule.as_ref()),
    }];
    let rules = |action, rules: &[Rule]| -> Vec<Line> {
        rules.iter().map(|rule| line(action, &rule.pattern, Some(&rule.grant))).collect()
    };
    lines.extend(rules("publish", &row.publish));
    lines.extend(rules("deny_publish", &row.deny_publish));
    lines.extend(rules("subscribe", &row.subscribe));
    lines.extend(rules("deny_subscribe", &row.deny_subscribe));
    lines.extend(row.shared_groups.iter().map(|(group, rule)| line("shared_group", group, Some(rule))));
    lines.extend(
        row.responses.iter().map(|(responses, rule)| line("responses", describe(*responses), Some(rule))),
    );
    lines
}

fn line(action: &'static str, what: impl fmt::Display, rule: Option<&RuleName>) -> Line {
    Line { action, what: what.to_string(), rule: rule.map(RuleName::to_string) }
}

fn describe(responses: Responses) -> String {
    match responses {
        Responses::Allowed(rule) => format!("{} within {:?}", rule.max, rule.within),
        Responses::Forbidden => "none".to_owned(),
    }
}

fn write_conversations(f: &mut fmt::Formatter<'_>, conversations: &[Conversation]) -> fmt::Result {
    writeln!(f, "who can talk to whom")?;
    if conversations.is_empty() {
        return writeln!(f, "  nobody to anybody");
    }
    let publishers = widest(conversations.iter().map(|pair| pair.publisher.to_string()));
    let subscribers = widest(conversations.iter().map(|pair| pair.subscriber.to_string()));
    for Conversation { publisher, subscriber, overlaps } in conversations {
        let (publisher, subscriber) = (publisher.to_string(), subscriber.to_string());
        for overlap in overlaps {
            writeln!(f, "  {publisher:publishers$} -> {subscriber:subscribers$}  {overlap}")?;
        }
    }
    Ok(())
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.pattern)?;
        for (place, denied) in self.except.iter().enumerate() {
            write!(f, "{}{denied}", if place == 0 { " except " } else { ", " })?;
        }
        Ok(())
    }
}

fn widest(texts: impl Iterator<Item = impl AsRef<str>>) -> usize {
    texts.map(|text| text.as_ref().chars().count()).max().unwrap_or(0)
}
