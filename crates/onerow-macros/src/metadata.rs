//! diesel's `metadata.toml`.

/// Whether the migration runs in a transaction, according to the only key that diesel has.
///
/// A file without the key means false, and no file means true: diesel has `#[serde(default)]` on a
/// bool (`TomlMetadata` of migrations_internals 2.3). A file that is not TOML means true to diesel,
/// and is an error here.
pub fn run_in_transaction(toml: &str) -> Result<bool, String> {
    let mut found = None;
    for (number, line) in (1..).zip(toml.lines()) {
        let line = without_comment(line);
        match (found, setting(line)) {
            _ if line.is_empty() => {}
            (None, Some(value)) => found = Some(value),
            _ => return Err(format!("{EXPECTED}, but line {number} is something else")),
        }
    }
    Ok(found.unwrap_or(false))
}

const EXPECTED: &str = "may hold comments and, once, `run_in_transaction = true` or \
                        `run_in_transaction = false`";

/// Each `#` begins a comment, since no string is accepted.
fn without_comment(line: &str) -> &str {
    line.split('#').next().unwrap_or_default().trim_matches(BLANK)
}

/// The white space of TOML, which is less than that of Unicode.
const BLANK: [char; 2] = [' ', '\t'];

fn setting(line: &str) -> Option<bool> {
    let (key, value) = line.split_once('=')?;
    match (key.trim_end_matches(BLANK), value.trim_start_matches(BLANK)) {
        ("run_in_transaction", "true") => Some(true),
        ("run_in_transaction", "false") => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::run_in_transaction;

    #[test]
    fn the_key_is_read_between_comments_blank_lines_and_spaces() {
        assert_eq!(run_in_transaction("run_in_transaction = false"), Ok(false));
        assert_eq!(run_in_transaction("run_in_transaction=true\r\n"), Ok(true));
        assert_eq!(
            run_in_transaction(
                "\n# run_in_transaction = false\n\t run_in_transaction\t=  true # why\n"
            ),
            Ok(true)
        );
    }

    #[test]
    fn a_file_that_lacks_the_key_means_false() {
        assert_eq!(run_in_transaction(""), Ok(false));
        assert_eq!(run_in_transaction("\n  \n# run_in_transaction = true\n"), Ok(false));
    }

    #[test]
    fn anything_else_is_an_error_that_names_the_line() {
        for toml in [
            "run_in_transaction",
            "run_in_transaction = no",
            "run_in_transaction = \"false\"",
            "run_in_transaction = false true",
            "run_in_transaction = False",
            "run_in_transactions = false",
            "\"run_in_transaction\" = false",
            "[migration]",
            "other = 1",
            "\u{a0}",
        ] {
            let error = run_in_transaction(&format!("# first\n{toml}\n")).unwrap_err();
            assert!(error.ends_with("line 2 is something else"), "{toml}: {error}");
        }
    }

    #[test]
    fn twice_is_an_error_as_in_toml() {
        let error =
            run_in_transaction("run_in_transaction = true\nrun_in_transaction = true").unwrap_err();
        assert!(error.ends_with("line 2 is something else"), "{error}");
    }
}
