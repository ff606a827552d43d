//! What the documents promise to list, they list.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn repository() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = repository().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Field names of the structures in a source file, one field a line.
fn fields(source: &str) -> BTreeSet<String> {
    let field = |line: &str| {
        let line = line.trim().trim_start_matches("pub(super) ").trim_start_matches("r#");
        let (name, kind) = line.split_once(": ")?;
        let is_name = !name.is_empty() && name.chars().all(|each| each == '_' || each.is_ascii_lowercase());
        (is_name && kind.ends_with(',') && !kind.contains(['(', '='])).then(|| name.to_owned())
    };
    source.lines().filter_map(field).collect()
}

/// The texts in quotes that stand right behind `marker`.
fn quoted_after(source: &str, marker: &str) -> BTreeSet<String> {
    let flat = source.split_whitespace().collect::<Vec<_>>().join(" ").replace("( ", "(");
    flat.split(marker)
        .skip(1)
        .filter_map(|rest| Some(rest.strip_prefix('"')?.split_once('"')?.0.into()))
        .collect()
}

fn assert_all_in(document: &str, words: &BTreeSet<String>, at_least: usize) {
    assert!(words.len() >= at_least, "the source reads otherwise than this test expects: {words:?}");
    let text = read(document);
    let missing: Vec<_> = words.iter().filter(|word| !text.contains(&format!("`{word}`"))).collect();
    assert!(missing.is_empty(), "{document} does not mention {missing:?}");
}

#[test]
fn every_configuration_key_is_explained() {
    let keys = fields(&read("src/config/file.rs"));
    assert_all_in("docs/configuration.md", &keys, 30);
    assert_all_in("docs/configuration.md", &fields(&read("src/config/limits.rs")), 23);
    assert_all_in(
        "docs/configuration.md",
        &quoted_after(&read("src/config/check.rs"), "key::<PathBuf>(&mut table, "),
        1,
    );
}

#[test]
fn every_metric_is_explained() {
    let source = read("src/metrics.rs");
    let mut names = quoted_after(&source, "registry.register(");
    names.extend(quoted_after(&source, "registry.register_with_unit("));
    let names = names.into_iter().map(|name| format!("portcullis_{name}")).collect::<BTreeSet<_>>();
    let text = read("docs/operations.md");
    let missing: Vec<_> = names.iter().filter(|name| !text.contains(name.as_str())).collect();
    assert!(names.len() >= 17 && missing.is_empty(), "{names:?}: {missing:?}");
}

#[test]
fn every_audit_event_is_explained() {
    assert_all_in("docs/operations.md", &quoted_after(&read("src/audit.rs"), "event = "), 7);
}

#[test]
fn every_end_and_every_refusal_is_explained() {
    let ends = quoted_after(&read("src/session/close.rs"), " => ");
    assert_all_in("docs/operations.md", &ends, 20);
    let problems = quoted_after(&read("src/connection/upgrade/problem.rs"), "(StatusCode::FORBIDDEN, ");
    assert_all_in("docs/operations.md", &problems, 3);
    let problems = quoted_after(&read("src/connection/upgrade/problem.rs"), "(StatusCode::BAD_REQUEST, ");
    assert_all_in("docs/operations.md", &problems, 6);
}

#[test]
fn the_rust_lines_of_the_readme_are_those_of_programs_that_compile() {
    let readme = read("README.md");
    let programs = [read("examples/quickstart.rs"), read("examples/nats.rs")];
    let blocks: Vec<_> = readme.split("```rust\n").skip(1).collect();
    assert_eq!(blocks.len(), programs.len());
    for block in blocks {
        let block = block.split_once("```").expect("an end").0;
        assert!(programs.iter().any(|program| program.contains(block)), "in no example:\n{block}");
    }
}

/// Test names in the threat model are checked against the tree, so that a renamed test does not leave a hole behind.
#[test]
fn every_test_that_the_threat_model_cites_exists() {
    let mut sources = String::new();
    let mut folders =
        vec![repository().join("src"), repository().join("tests"), repository().join("fuzz/fuzz_targets")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a readable folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                sources.push_str(&format!("fn {stem}(\n"));
                sources.push_str(&fs::read_to_string(&path).unwrap_or_default());
            }
        }
    }
    let text = read("docs/threat-model.md");
    let rows = text.lines().filter(|line| line.starts_with('|')).filter_map(|line| line.rsplit('|').nth(1));
    let cited: BTreeSet<_> = rows
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .filter(|word| {
            word.contains('_') && word.chars().all(|each| each == '_' || each.is_ascii_alphanumeric())
        })
        .collect();
    let missing: Vec<_> = cited
        .iter()
        .filter(|name| {
            !sources.contains(&format!("fn {name}(")) && !sources.contains(&format!("{name}() {{"))
        })
        .collect();
    assert!(cited.len() >= 40 && missing.is_empty(), "not in the tree: {missing:?}");
}
