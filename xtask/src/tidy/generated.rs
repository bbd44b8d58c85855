//! Sections of the documentation that are generated from the model, and must equal what it generates.
//!
//! A section stands between `<!-- generated: NAME -->` and `<!-- /generated -->`, each on a line of its own.

use std::{fs, path::Path};

use crate::tidy::files::Files;

const END: &str = "<!-- /generated -->";

/// The documents that may hold generated sections, each with the one that it must hold.
const DOCUMENTS: [(&str, &str); 3] = [
    ("docs/design/state-machine.md", "state-diagram"),
    ("docs/design/state-machine.md", "transition-table"),
    ("docs/guide/policies.md", "policy-table"),
];

/// Compares every section with what the model generates.
pub(crate) fn check(files: &Files) -> Vec<String> {
    DOCUMENTS.iter().flat_map(|(path, required)| document(path, required, files.get(path))).collect()
}

/// Rewrites every section, and returns the paths of the documents that changed.
pub(crate) fn bless(root: &Path, files: &Files) -> Result<Vec<String>, String> {
    let mut changed = Vec::new();
    for (path, _) in DOCUMENTS {
        let Some(text) = files.get(path) else { continue };
        let fresh = refresh(text).map_err(|complaint| format!("{path}: {complaint}"))?;
        if fresh != text {
            fs::write(root.join(path), fresh).map_err(|error| format!("{path}: {error}"))?;
            changed.push(path.to_owned());
        }
    }
    Ok(changed)
}

fn document(path: &str, required: &str, text: Option<&str>) -> Vec<String> {
    let Some(text) = text else {
        return vec![format!("{path} is missing: write it, with the section `{}`.", start(required))];
    };
    let mut complaints = Vec::new();
    if !text.lines().any(|line| line == start(required)) {
        complaints.push(format!(
            "{path} lacks the section `{}`: put that line and `{END}` where it belongs, then run \
             `cargo xtask tidy --bless`.",
            start(required)
        ));
    }
    match refresh(text) {
        Ok(fresh) if fresh == text => {}
        Ok(_) => complaints.push(format!(
            "{path} has a generated section that differs from the model: run `cargo xtask tidy --bless`."
        )),
        Err(complaint) => complaints.push(format!("{path}: {complaint}")),
    }
    complaints
}

fn start(name: &str) -> String {
    format!("<!-- generated: {name} -->")
}

/// What belongs into the section of this name.
fn content(name: &str) -> Option<String> {
    match name {
        "state-diagram" => Some(format!("```mermaid\n{}```\n", conductor_model::state_diagram())),
        "transition-table" => Some(conductor_model::transition_table()),
        "policy-table" => Some(conductor_model::policy_table()),
        _ => None,
    }
}

/// The text with every section as the model generates it today.
fn refresh(text: &str) -> Result<String, String> {
    let mut fresh = String::with_capacity(text.len());
    let mut lines = text.split_inclusive('\n');
    while let Some(line) = lines.next() {
        fresh.push_str(line);
        let Some(name) = line.trim_end().strip_prefix("<!-- generated: ") else { continue };
        let name = name.strip_suffix(" -->").unwrap_or(name);
        let content = content(name).ok_or_else(|| {
            format!(
                "nothing generates a section `{name}`: use `state-diagram`, `transition-table` or `policy-table`."
            )
        })?;
        if !lines.by_ref().any(|line| line.trim_end() == END) {
            return Err(format!("the section `{name}` has no end: write `{END}` on a line below it."));
        }
        // Blank lines, because some renderers take what follows a comment for HTML.
        fresh.extend(["\n", &content, "\n", END, "\n"]);
    }
    Ok(fresh)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALE: &str = "# A\n\n<!-- generated: state-diagram -->\nold\n<!-- /generated -->\n\nmore\n\
        <!-- generated: transition-table -->\n<!-- /generated -->\nend\n";

    #[test]
    fn refreshing_fills_the_sections_and_leaves_the_rest() {
        let fresh = refresh(STALE).unwrap();
        assert!(
            fresh.starts_with("# A\n\n<!-- generated: state-diagram -->\n\n```mermaid\nstateDiagram-v2\n")
        );
        assert!(fresh.contains(
            "```\n\n<!-- /generated -->\n\nmore\n<!-- generated: transition-table -->\n\n| from |"
        ));
        assert!(fresh.ends_with("|\n\n<!-- /generated -->\nend\n"));
        assert!(!fresh.contains("old"));
        assert_eq!(refresh(&fresh).unwrap(), fresh, "a second time changes nothing");
    }

    #[test]
    fn a_stale_section_is_a_complaint_and_a_fresh_one_is_not() {
        let complaints = document("README.md", "state-diagram", Some(STALE));
        assert_eq!(complaints.len(), 1);
        assert!(complaints[0].contains("--bless"), "{}", complaints[0]);
        let fresh = refresh(STALE).unwrap();
        assert!(document("README.md", "state-diagram", Some(&fresh)).is_empty());
        let edited = fresh.replacen("PENDING", "WAITING", 1);
        assert_eq!(document("README.md", "state-diagram", Some(&edited)).len(), 1);
    }

    #[test]
    fn a_missing_document_or_section_is_a_complaint() {
        let complaints = check(&Files::default());
        assert_eq!(complaints.len(), DOCUMENTS.len());
        assert!(complaints[0].starts_with("docs/design/state-machine.md is missing"), "{}", complaints[0]);
        let complaints = document("README.md", "state-diagram", Some("# A\n"));
        assert!(complaints[0].contains("lacks the section"), "{}", complaints[0]);
    }

    #[test]
    fn an_unknown_or_endless_section_is_a_complaint() {
        assert!(
            refresh("<!-- generated: weather -->\n<!-- /generated -->\n").unwrap_err().contains("weather")
        );
        assert!(refresh("<!-- generated: state-diagram -->\nx\n").unwrap_err().contains("no end"));
    }
}
