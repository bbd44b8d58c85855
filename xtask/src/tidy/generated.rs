//! The sections of the documents that are generated from the model. They must equal what the model generates now.
//!
//! A section stands between `<!-- generated: NAME -->` and `<!-- /generated -->`, each on a line of its own.

use std::{fs, path::Path};

use crate::tidy::files::{File, Files};

const END: &str = "<!-- /generated -->";

/// The sections. Each must stand in some document.
const SECTIONS: [&str; 3] = ["state-diagram", "transition-table", "policy-table"];

/// Compares every section with its generated content.
pub(crate) fn check(files: &Files) -> Vec<String> {
    let mut complaints: Vec<String> = files.ending(".md").filter_map(document).collect();
    for name in SECTIONS {
        let start = start(name);
        if !files.ending(".md").any(|file| file.text.lines().any(|line| line == start)) {
            complaints.push(format!(
                "no document has the section `{name}`: write the lines `{start}` and `{END}` into one, then run \
                 `cargo xtask tidy --fix`."
            ));
        }
    }
    complaints
}

/// Rewrites every section, and returns the paths of the documents that changed.
pub(crate) fn fix(root: &Path, files: &Files) -> Result<Vec<String>, String> {
    let mut changed = Vec::new();
    for File { path, text } in files.ending(".md") {
        let fresh = refreshed(text).map_err(|complaint| format!("{path}: {complaint}"))?;
        if fresh != *text {
            fs::write(root.join(path), fresh).map_err(|error| format!("{path}: {error}"))?;
            changed.push(path.clone());
        }
    }
    Ok(changed)
}

fn document(File { path, text }: &File) -> Option<String> {
    match refreshed(text) {
        Ok(fresh) if fresh == *text => None,
        Ok(_) => Some(format!(
            "{path} has a generated section that differs from the model: run `cargo xtask tidy --fix`."
        )),
        Err(complaint) => Some(format!("{path}: {complaint}")),
    }
}

fn start(name: &str) -> String {
    format!("<!-- generated: {name} -->")
}

/// Generates the content of a section.
fn content(name: &str) -> Option<String> {
    match name {
        "state-diagram" => Some(format!("```mermaid\n{}```\n", conductor_model::state_diagram())),
        "transition-table" => Some(conductor_model::transition_table()),
        "policy-table" => Some(conductor_model::policy_table()),
        _ => None,
    }
}

/// Returns the text with every section as the model generates it now.
fn refreshed(text: &str) -> Result<String, String> {
    let mut fresh = String::with_capacity(text.len());
    let mut lines = text.split_inclusive('\n');
    while let Some(line) = lines.next() {
        fresh.push_str(line);
        let Some(name) = line.trim_end().strip_prefix("<!-- generated: ") else { continue };
        let name = name.strip_suffix(" -->").unwrap_or(name);
        let content = content(name).ok_or_else(|| {
            format!("unknown generated section `{name}`: use one of {}.", SECTIONS.join(", "))
        })?;
        if !lines.by_ref().any(|line| line.trim_end() == END) {
            return Err(format!("the section `{name}` has no end: write `{END}` on a line below it."));
        }
        // Without the blank lines, some renderers read the content as HTML, because it follows a comment.
        fresh.extend(["\n", &content, "\n", END, "\n"]);
    }
    Ok(fresh)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALE: &str = "# A\n\n<!-- generated: state-diagram -->\nold\n<!-- /generated -->\n\nmore\n\
        <!-- generated: transition-table -->\n<!-- /generated -->\nend\n\
        <!-- generated: policy-table -->\n<!-- /generated -->\n";

    fn complaints(text: &str) -> Vec<String> {
        check(&Files::from([("docs/a.md", text)]))
    }

    #[test]
    fn fix_rewrites_sections_and_keeps_the_rest() {
        let fresh = refreshed(STALE).unwrap();
        assert!(
            fresh.starts_with("# A\n\n<!-- generated: state-diagram -->\n\n```mermaid\nstateDiagram-v2\n")
        );
        assert!(fresh.contains(
            "```\n\n<!-- /generated -->\n\nmore\n<!-- generated: transition-table -->\n\n| from |"
        ));
        assert!(fresh.contains("|\n\n<!-- /generated -->\nend\n"));
        assert!(!fresh.contains("old"));
        assert_eq!(refreshed(&fresh).unwrap(), fresh, "a second time changes nothing");
    }

    #[test]
    fn stale_section_is_reported() {
        let stale = complaints(STALE);
        assert_eq!(stale.len(), 1, "{stale:?}");
        assert!(stale[0].starts_with("docs/a.md") && stale[0].contains("--fix"), "{stale:?}");
        let fresh = refreshed(STALE).unwrap();
        assert!(complaints(&fresh).is_empty());
        assert_eq!(complaints(&fresh.replacen("PENDING", "WAITING", 1)).len(), 1);
    }

    #[test]
    fn missing_section_is_reported() {
        let complaints = check(&Files::default());
        assert_eq!(complaints.len(), SECTIONS.len());
        for (complaint, name) in complaints.iter().zip(SECTIONS) {
            assert!(complaint.contains(&format!("no document has the section `{name}`")), "{complaint}");
        }
    }

    #[test]
    fn unknown_or_endless_section_is_reported() {
        let unknown = refreshed("<!-- generated: weather -->\n<!-- /generated -->\n").unwrap_err();
        assert!(unknown.contains("weather"), "{unknown}");
        let endless = refreshed("<!-- generated: state-diagram -->\nx\n").unwrap_err();
        assert!(endless.contains("no end"), "{endless}");
    }
}
