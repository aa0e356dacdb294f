//! A registry's `lib.rs`: where the migrations are declared and listed, and where the next one goes.

use std::{ops::Range, path::Path, str::FromStr};

use proc_macro2::{Delimiter, Group, Spacing, TokenStream, TokenTree};

use super::{error::ProjectError, place::shown};
use onerow::module_name;

/// What a `lib.rs` says about migrations. Offsets are in bytes.
#[derive(Debug)]
pub(super) struct Listing<'a> {
    source: &'a str,
    pub(super) modules: Vec<Module>,
    /// `..BASE`, which the list may begin with; its name is no migration's.
    pub(super) base: Option<Item>,
    pub(super) items: Vec<Item>,
    /// The function around the list, where that stands at the top of the file.
    pub(super) function: Option<String>,
    /// Between the brackets of `registry![…]`.
    inside: Range<usize>,
    /// Where the first item of the file begins.
    start: usize,
}

/// `mod m0003;`
#[derive(Debug)]
pub(super) struct Module {
    pub(super) name: Name,
    pub(super) line: usize,
    /// Whether its body stands here, and not in a file.
    pub(super) inline: bool,
    visibility: String,
    whole: Range<usize>,
    /// Where the next token begins.
    next: usize,
}

/// What stands between two commas of the list, like `m0003`.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) name: Name,
    pub(super) line: usize,
    whole: Range<usize>,
    /// The end of the comma behind it.
    comma: Option<usize>,
}

/// What a module is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    /// `m0003`
    Migration(i32),
    /// `m` and digits, in another way: `m3`, `m00003`.
    Misspelt(String),
    Other(String),
}

impl Name {
    pub(super) fn of(text: &str) -> Self {
        let digits = text.strip_prefix('m').filter(|digits| !digits.is_empty());
        match digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit())) {
            None => Self::Other(text.to_owned()),
            Some(digits) => match digits.parse() {
                Ok(number) if module_name(number) == text => Self::Migration(number),
                _ => Self::Misspelt(text.to_owned()),
            },
        }
    }

    pub(super) fn number(&self) -> Option<i32> {
        match self {
            Self::Migration(number) => Some(*number),
            _ => None,
        }
    }
}

impl Item {
    /// From its tokens and the comma behind them; nothing stands behind the last comma.
    fn of(source: &str, tokens: &[TokenTree]) -> Option<Self> {
        let (tokens, comma) = match tokens {
            [tokens @ .., comma] if !tokens.is_empty() && is_punct(comma, ',') => {
                (tokens, Some(range(comma).end))
            }
            _ => (tokens, None),
        };
        let whole = range(tokens.first()?).start..range(tokens.last()?).end;
        let name = Name::of(&source[whole.clone()]);
        Some(Self { name, line: line_of(source, whole.start), whole, comma })
    }

    fn is_base(&self, source: &str) -> bool {
        source[self.whole.clone()].strip_prefix("..").is_some_and(|base| !base.is_empty())
    }
}

impl<'a> Listing<'a> {
    pub(super) fn parse(path: &Path, source: &'a str) -> Result<Self, ProjectError> {
        let tokens = TokenStream::from_str(source)
            .map_err(|error| ProjectError::Syntax { path: shown(path), line: error.span().start().line })?;
        let tokens: Vec<_> = tokens.into_iter().collect();
        let mut found = Vec::new();
        registries(&tokens, true, None, &mut found);
        let Some(list) = found.first() else {
            return Err(ProjectError::NoRegistry { path: shown(path) });
        };
        if found.len() > 1 {
            let lines: Vec<_> =
                found.iter().map(|list| line_of(source, list.group.span_open().byte_range().start)).collect();
            return Err(ProjectError::SeveralRegistries { path: shown(path), lines: in_words(&lines) });
        }
        let mut items = items(source, &list.group);
        let base = items.first().is_some_and(|first| first.is_base(source)).then(|| items.remove(0));
        Ok(Self {
            source,
            modules: modules(source, &tokens),
            base,
            items,
            function: list.function.clone(),
            inside: list.group.span_open().byte_range().end..list.group.span_close().byte_range().start,
            start: start(&tokens).unwrap_or(source.len()),
        })
    }

    /// The text with this migration declared and listed behind the others.
    pub(super) fn with(&self, version: i32) -> String {
        let name = module_name(version);
        let mut insertions = self.listed(&name);
        insertions.push(self.declared(&name));
        insertions.sort_by_key(|(at, _)| *at);
        let mut text = self.source.to_owned();
        for (at, insertion) in insertions.into_iter().rev() {
            text.insert_str(at, &insertion);
        }
        text
    }

    /// The numbers of the first and the last that are listed.
    pub(super) fn numbers(&self) -> Option<(i32, i32)> {
        let numbers = || self.items.iter().filter_map(|item| item.name.number());
        numbers().min().zip(numbers().max())
    }

    fn declared(&self, name: &str) -> (usize, String) {
        let line_end = self.line_end();
        let Some((last, visibility)) = self.last_declared() else {
            return (self.start, format!("mod {name};{line_end}{line_end}"));
        };
        let indent = indent(self.source, last.whole.start);
        let declaration = format!("{line_end}{indent}{visibility}mod {name};");
        let rest = Rest::of(self.source, last.whole.end..last.next);
        match rest.line_end {
            Some(at) => (at, declaration),
            None if last.next == self.source.len() => (rest.comments_end, declaration),
            // Something else follows on the same line.
            None => (last.whole.end, format!("{declaration}{line_end}{indent}")),
        }
    }

    /// The module to stand behind, and who may see the new one. What is no migration, as the `mod old;` of a base, gives only
    /// the place.
    fn last_declared(&self) -> Option<(&Module, &str)> {
        let migrations = self.modules.iter().filter(|module| module.name.number().is_some());
        let last = migrations.max_by_key(|module| module.name.number());
        last.map(|module| (module, module.visibility.as_str()))
            .or_else(|| self.modules.iter().rfind(|module| !module.inline).map(|module| (module, "")))
    }

    fn listed(&self, name: &str) -> Vec<(usize, String)> {
        let Some(last) = self.entries().next_back() else {
            return vec![(self.inside.start, name.to_owned())];
        };
        let rest = Rest::of(self.source, last.comma.unwrap_or(last.whole.end)..self.inside.end);
        let comma = if last.comma.is_some() { "," } else { "" };
        if !rest.has_line_comment && !self.has_a_line_for_each() {
            let between = if last.comma.is_some() { " " } else { ", " };
            return vec![(rest.comments_end, format!("{between}{name}{comma}"))];
        }
        let line = format!("{}{}{name}{comma}", self.line_end(), indent(self.source, last.whole.start));
        let line = (rest.line_end.unwrap_or(rest.comments_end), line);
        match last.comma {
            Some(_) => vec![line],
            // One text where both go to the same place, so that they keep their order.
            None if line.0 == last.whole.end => vec![(line.0, format!(",{}", line.1))],
            None => vec![(last.whole.end, ",".to_owned()), line],
        }
    }

    /// Of a list that is wrapped like text, the last may happen to be alone on its line: so the one before it has to be too.
    fn has_a_line_for_each(&self) -> bool {
        let mut last_two = self.entries().rev().take(2);
        last_two.all(|item| is_alone_on_its_line(self.source, item.whole.start))
    }

    fn entries(&self) -> impl DoubleEndedIterator<Item = &Item> {
        self.base.iter().chain(&self.items)
    }

    fn line_end(&self) -> &'static str {
        if self.source.contains("\r\n") { "\r\n" } else { "\n" }
    }
}

/// A `registry![…]`.
struct List {
    group: Group,
    function: Option<String>,
}

fn registries(tokens: &[TokenTree], at_top: bool, function: Option<&str>, found: &mut Vec<List>) {
    let mut function = function.map(str::to_owned);
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) if is_registry_call(&tokens[..at]) => {
                found.push(List { group: group.clone(), function: function.clone() });
            }
            TokenTree::Group(group) => {
                let inner: Vec<_> = group.stream().into_iter().collect();
                registries(&inner, false, function.as_deref(), found);
                if at_top && group.delimiter() == Delimiter::Brace {
                    function = None;
                }
            }
            TokenTree::Ident(name) if at_top && at > 0 && is_ident(&tokens[at - 1], "fn") => {
                function = Some(name.to_string());
            }
            _ => (),
        }
    }
}

fn is_registry_call(before: &[TokenTree]) -> bool {
    matches!(before, [.., name, mark] if is_ident(name, "registry") && is_punct(mark, '!'))
}

fn modules(source: &str, tokens: &[TokenTree]) -> Vec<Module> {
    let named = tokens.windows(3).enumerate().filter_map(|(at, window)| match window {
        [keyword, TokenTree::Ident(name), body] if is_ident(keyword, "mod") => Some((at, name, body)),
        _ => None,
    });
    let modules = named.map(|(at, name, body)| {
        let keyword = range(&tokens[at]).start;
        let start = visibility(&tokens[..at]).unwrap_or(keyword);
        Module {
            name: Name::of(&name.to_string()),
            line: line_of(source, keyword),
            inline: !is_punct(body, ';'),
            visibility: source[start..keyword].to_owned(),
            whole: start..range(body).end,
            next: tokens.get(at + 3).map_or(source.len(), |next| range(next).start),
        }
    });
    modules.collect()
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

fn items(source: &str, list: &Group) -> Vec<Item> {
    let tokens: Vec<_> = list.stream().into_iter().collect();
    let ends = separators(&tokens).into_iter().map(|comma| comma + 1).chain([tokens.len()]);
    let mut start = 0;
    let items = ends.filter_map(|end| {
        let item = Item::of(source, &tokens[start..end]);
        start = end;
        item
    });
    items.collect()
}

/// The commas between items, and not between the generic arguments of a base: those in brackets are inside of one token, but
/// `<` and `>` are no brackets. A `<` that nothing closes is a comparison.
fn separators(tokens: &[TokenTree]) -> Vec<usize> {
    let mut commas = Vec::new();
    let mut opened = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let TokenTree::Punct(mark) = token else { continue };
        match mark.as_char() {
            ',' => commas.push(at),
            '<' => opened.push(commas.len()),
            '>' if !is_arrow(&tokens[..at]) => commas.truncate(opened.pop().unwrap_or(commas.len())),
            _ => (),
        }
    }
    commas
}

/// Whether the `>` behind these tokens is one of `->` or `=>`.
fn is_arrow(before: &[TokenTree]) -> bool {
    matches!(before, [.., TokenTree::Punct(mark)] if matches!(mark.as_char(), '-' | '=') && mark.spacing() == Spacing::Joint)
}

/// The first token behind the attributes of the file itself.
fn start(tokens: &[TokenTree]) -> Option<usize> {
    let mut tokens = tokens;
    while let [hash, mark, TokenTree::Group(_), rest @ ..] = tokens
        && is_punct(hash, '#')
        && is_punct(mark, '!')
    {
        tokens = rest;
    }
    tokens.first().map(|first| range(first).start)
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

fn line_of(source: &str, at: usize) -> usize {
    source[..at].matches('\n').count() + 1
}

/// The white space that the line of this place begins with.
fn indent(source: &str, at: usize) -> &str {
    let line = &source[line_start(source, at)..];
    &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
}

fn is_alone_on_its_line(source: &str, at: usize) -> bool {
    source[line_start(source, at)..at].trim().is_empty()
}

fn line_start(source: &str, at: usize) -> usize {
    source[..at].rfind('\n').map_or(0, |before| before + 1)
}

fn in_words(lines: &[usize]) -> String {
    let lines: Vec<_> = lines.iter().map(ToString::to_string).collect();
    lines.join(" and ")
}

/// What stands between two tokens, up to the end of the line: white space and comments.
struct Rest {
    /// The end of the last comment on the line; where there is none, of the token.
    comments_end: usize,
    has_line_comment: bool,
    /// The end of the line, if it comes before the next token.
    line_end: Option<usize>,
}

impl Rest {
    fn of(source: &str, gap: Range<usize>) -> Self {
        let mut rest = Self { comments_end: gap.start, has_line_comment: false, line_end: None };
        let gap = &source[..gap.end];
        let mut at = rest.comments_end;
        while let Some(next) = gap[at..].chars().next() {
            if gap[at..].starts_with("//") {
                let line = gap[at..].lines().next().unwrap_or_default();
                at += line.len();
                rest.comments_end = at;
                rest.has_line_comment = true;
            } else if gap[at..].starts_with("/*") {
                at = comment_end(gap, at);
                rest.comments_end = at;
            } else if gap[at..].starts_with("\r\n") || next == '\n' {
                rest.line_end = Some(at);
                break;
            } else {
                at += next.len_utf8();
            }
        }
        rest
    }
}

/// The end of the block comment that begins here; they nest.
fn comment_end(text: &str, start: usize) -> usize {
    let mut depth = 0;
    let mut at = start;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

#[cfg(test)]
mod tests;
