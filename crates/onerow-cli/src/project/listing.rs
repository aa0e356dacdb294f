//! A registry's `lib.rs`: the number of the next migration, and where its two words go.

use std::{ops::Range, path::Path, str::FromStr};

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

use super::{error::ProjectError, shown::shown};
use onerow::module_name;

/// A `lib.rs` with one `registry![…]`. Offsets are in bytes.
#[derive(Debug)]
pub(super) struct Listing<'a> {
    source: &'a str,
    tokens: Vec<TokenTree>,
    list: Group,
    listed: Vec<TokenTree>,
}

impl<'a> Listing<'a> {
    pub(super) fn parse(path: &Path, source: &'a str) -> Result<Self, ProjectError> {
        let tokens = TokenStream::from_str(source).map_err(|error| ProjectError::Syntax {
            path: shown(path),
            line: error.span().start().line,
        })?;
        let tokens: Vec<_> = tokens.into_iter().collect();
        let lists = registries(&tokens);
        match &lists[..] {
            [] => Err(ProjectError::NoRegistry { path: shown(path) }),
            [list] => Ok(Self { source, tokens, list: list.clone(), listed: inside(list) }),
            several => {
                let lines = several.iter().map(|list| list.span().start().line.to_string());
                let lines = lines.collect::<Vec<_>>().join(" and ");
                Err(ProjectError::SeveralRegistries { path: shown(path), lines })
            }
        }
    }

    /// The number after the last in the list. `None` if the list does not end in a migration, like
    /// one that has only a base: how many migrations the base has is not in the text.
    pub(super) fn next(&self) -> Option<i32> {
        match self.entries().next_back() {
            None => Some(0),
            Some([TokenTree::Ident(last)]) => number(last)?.checked_add(1),
            Some(_) => None,
        }
    }

    /// The function around the list, if the crate's other modules can call it.
    pub(super) fn function(&self) -> Option<String> {
        let list = range(&self.list.clone().into()).start;
        let around = self.tokens.iter().position(|token| range(token).contains(&list))?;
        let mut item = self.tokens[..around].rsplit(ends_item).next()?.windows(2);
        item.find(|pair| is_ident(&pair[0], "fn")).map(|pair| pair[1].to_string())
    }

    /// The text with this migration declared, and listed after the others.
    pub(super) fn with(&self, name: &str) -> String {
        let mut edits = [self.declaration(name), self.entry(name)];
        edits.sort_by_key(|(at, _)| at.start);
        let mut text = self.source.to_owned();
        for (at, new) in edits.into_iter().rev() {
            text.replace_range(at, &new);
        }
        text
    }

    /// `mod` goes below that of the last migration, or else of the base; or else before all items.
    fn declaration(&self, name: &str) -> (Range<usize>, String) {
        let line_end = self.line_end();
        let Some((is_migration, at)) = self.last_module() else {
            let start = first_item(&self.tokens).unwrap_or(self.source.len());
            return (start..start, format!("mod {name};{line_end}{line_end}"));
        };
        let keyword = range(&self.tokens[at]).start;
        let start = visibility(&self.tokens[..at]).unwrap_or(keyword);
        let visibility = if is_migration { &self.source[start..keyword] } else { "" };
        let end = range(&self.tokens[at + 2]).end;
        let next = self.tokens.get(at + 3).map_or(self.source.len(), |next| range(next).start);
        let end = end + end_of_line(&self.source[end..next]);
        (end..end, format!("{line_end}{}{visibility}mod {name};", indent(self.source, start)))
    }

    /// Whether it is a migration's, and where its `mod` is among the tokens. Of modules that are no
    /// migration's, only those in files count.
    fn last_module(&self) -> Option<(bool, usize)> {
        let modules = self.tokens.windows(3).enumerate().filter_map(|(at, window)| match window {
            [keyword, TokenTree::Ident(name), body] if is_ident(keyword, "mod") => {
                let number = number(name);
                (number.is_some() || is_punct(body, ';')).then_some((number, at))
            }
            _ => None,
        });
        modules.max_by_key(|(number, _)| *number).map(|(number, at)| (number.is_some(), at))
    }

    /// What replaces the text after the last entry: one entry more, in the list's style.
    fn entry(&self, name: &str) -> (Range<usize>, String) {
        let close = self.list.span_close().byte_range().start;
        let Some([first, .., last] | [first @ last]) = self.entries().next_back() else {
            let open = self.list.span_open().byte_range().end;
            return (open..open, name.to_owned());
        };
        let comma = self.listed.last().filter(|token| is_punct(token, ','));
        let (last, kept_from) = (range(last).end, range(comma.unwrap_or(last)).end);
        let end = kept_from + end_of_line(&self.source[kept_from..close]);
        let kept = &self.source[last..end];
        let new_line = format!("{}{}", self.line_end(), indent(self.source, range(first).start));
        let on_new_line = self.has_a_line_for_each() || kept.contains("//");
        let new = match (comma, on_new_line) {
            (Some(_), true) => format!("{kept}{new_line}{name},"),
            (Some(_), false) => format!("{kept} {name},"),
            (None, true) => format!(",{kept}{new_line}{name}"),
            (None, false) => format!("{kept}, {name}"),
        };
        (last..end, new)
    }

    /// If a list is wrapped like text, its last entry may be alone on a line by chance; so the one
    /// before it has to be as well.
    fn has_a_line_for_each(&self) -> bool {
        let starts = self.entries().rev().take(2).map(|entry| range(&entry[0]).start);
        starts.map(|start| line_before(self.source, start)).all(|before| before.trim().is_empty())
    }

    /// What is between the commas. A base with generic arguments counts as several, which does no
    /// harm: only the last entry is read.
    fn entries(&self) -> impl DoubleEndedIterator<Item = &[TokenTree]> {
        self.listed.split(|token| is_punct(token, ',')).filter(|entry| !entry.is_empty())
    }

    fn line_end(&self) -> &'static str {
        if self.source.contains("\r\n") { "\r\n" } else { "\n" }
    }
}

/// The brackets of each `registry![…]`.
fn registries(tokens: &[TokenTree]) -> Vec<Group> {
    let groups = tokens.iter().enumerate().filter_map(|(at, token)| match token {
        TokenTree::Group(group) => Some((&tokens[..at], group)),
        _ => None,
    });
    let found = groups.flat_map(|(before, group)| match before {
        [.., name, mark] if is_ident(name, "registry") && is_punct(mark, '!') => {
            vec![group.clone()]
        }
        _ => registries(&inside(group)),
    });
    found.collect()
}

fn inside(group: &Group) -> Vec<TokenTree> {
    group.stream().into_iter().collect()
}

/// `m0003` is 3; what is not called like that is not a migration.
fn number(name: &proc_macro2::Ident) -> Option<i32> {
    let number = name.to_string().strip_prefix('m')?.parse().ok()?;
    (*name == module_name(number)).then_some(number)
}

/// Where the `pub` or `pub(crate)` at the end of these tokens begins.
fn visibility(before: &[TokenTree]) -> Option<usize> {
    match before {
        [.., public] | [.., public, TokenTree::Group(_)] if is_ident(public, "pub") => {
            Some(range(public).start)
        }
        _ => None,
    }
}

/// Where the first item begins, after the attributes of the file itself.
fn first_item(tokens: &[TokenTree]) -> Option<usize> {
    let is_attribute = |three: &[TokenTree]| match three {
        [hash, mark, _] => is_punct(hash, '#') && is_punct(mark, '!'),
        _ => false,
    };
    let item = tokens.chunks(3).find(|three| !is_attribute(three))?;
    Some(range(&item[0]).start)
}

fn ends_item(token: &TokenTree) -> bool {
    let is_body = |group: &Group| group.delimiter() == Delimiter::Brace;
    is_punct(token, ';') || matches!(token, TokenTree::Group(group) if is_body(group))
}

fn is_ident(token: &TokenTree, text: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == text)
}

fn is_punct(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}

fn range(token: &TokenTree) -> Range<usize> {
    token.span().byte_range()
}

/// The white space that the line of this place begins with.
fn indent(source: &str, at: usize) -> &str {
    let line = line_before(source, at);
    &line[..line.len() - line.trim_start().len()]
}

fn line_before(source: &str, at: usize) -> &str {
    source[..at].rsplit('\n').next().unwrap_or_default()
}

/// The end of the first line of white space and comments, after its comments. A line that ends
/// inside of a comment is not over.
fn end_of_line(text: &str) -> usize {
    let count = |at: usize, mark| text[..at].matches(mark).count();
    let mut line_ends = text.match_indices('\n').map(|(at, _)| at);
    let end = line_ends.find(|&at| count(at, "/*") == count(at, "*/")).unwrap_or(text.len());
    text[..end].trim_end().len()
}

#[cfg(test)]
mod tests;
