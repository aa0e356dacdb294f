//! The files of a crate of migrations.

pub(super) const MANIFEST: &str = include_str!("template/manifest.toml");
pub(super) const MAIN: &str = include_str!("template/main.rs");
pub(super) const LIB: &str = include_str!("template/lib.rs");
pub(super) const FIRST: &str = include_str!("template/m0000.rs");
pub(super) const NEXT: &str = include_str!("template/next.rs");

/// Replaces each `{{name}}` by its value. Braces in a value stay as they are.
pub(super) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut pieces = template.split("{{");
    let mut filled = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, rest) = piece.split_once("}}").unwrap_or_default();
        let value = values.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        filled += value.unwrap_or_default();
        filled += rest;
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_not_a_template() {
        let filled = fill("a {{b}} and {{c}}{{b}}", &[("b", "{{c}}"), ("c", "sea")]);

        assert_eq!(filled, "a {{c}} and sea{{c}}");
    }
}
