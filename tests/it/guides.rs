//! The guides in `docs/`: what a reader types off them works.

use std::{fs, path::Path};

use crate::harness::Project;

/// A block of code in a page, and the file that its first line names in a comment.
struct Block {
    path: String,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(page)).unwrap();
    // Of what stands between fences, every second is code.
    page.split("```").skip(1).step_by(2).filter_map(block).collect()
}

fn block(fenced: &str) -> Option<Block> {
    let (language, text) = fenced.split_once('\n')?;
    let comment = match language {
        "rust" => "// ",
        "toml" => "# ",
        _ => return None,
    };
    let path = text.lines().next()?.strip_prefix(comment).unwrap_or_else(|| panic!("no file name: {text}"));
    Some(Block { path: path.to_owned(), text: text.to_owned() })
}

#[test]
fn the_guide_to_testing_can_be_followed() {
    let project = Project::new("testing-guide", &["migration"]);
    for Block { path, text } in blocks("testing.md") {
        project.write(&path, &text);
    }

    project.cargo(&["test"], &[("UPDATE_EXPECT", "1")]);
    let output = project.cargo(&["test"], &[]);

    assert!(output.contains("test result: ok. 8 passed"), "{output}");
}
