//! The README: prose written by hand, and between markers the parts made from the raw data.

use anyhow::{Context, Result};

/// Puts the text between `<!-- name -->` and `<!-- /name -->`, in place of the old one.
pub fn replace(readme: &str, name: &str, text: &str) -> Result<String> {
    let (begin, end) = (format!("<!-- {name} -->"), format!("<!-- /{name} -->"));
    let missing = || format!("README.md has no {begin} … {end}");
    let (before, rest) = readme.split_once(&begin).with_context(missing)?;
    let (_, after) = rest.split_once(&end).with_context(missing)?;
    Ok(format!("{before}{begin}\n\n{}\n\n{end}{after}", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_between_the_markers_is_replaced_and_the_prose_stays() {
        let readme = "above\n<!-- a -->\nold\n<!-- /a -->\nbelow\n";
        let once = replace(readme, "a", "new\n").unwrap();
        assert_eq!(once, "above\n<!-- a -->\n\nnew\n\n<!-- /a -->\nbelow\n");
        assert_eq!(replace(&once, "a", "new").unwrap(), once);
        assert!(replace(readme, "b", "new").is_err());
    }
}
