//! The part of `onerow::embed_migrations!` that runs in the compiler.
//!
//! | module | holds |
//! |---|---|
//! | `folder` | reading a folder, and finding all that is wrong with it |
//! | `naming` | what the name of a file means to sqlx, refinery and diesel |
//! | `metadata` | diesel's `metadata.toml` |
//! | `down` | files that go up and then down, as some tools have them |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod down;
mod folder;
mod metadata;
mod naming;

use std::{env, path::Path};

use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};
use quote::{quote, quote_spanned};

use self::folder::Migration;

/// Not an interface: `onerow::embed_migrations!` calls it with its `$crate`, the path, and the
/// files to leave out, in brackets.
#[proc_macro]
pub fn embed_migrations(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    expand(input.into()).into()
}

fn expand(input: TokenStream) -> TokenStream {
    let mut onerow: Vec<_> = input.into_iter().collect();
    let except = onerow.pop().and_then(names);
    let directory = onerow.pop().map(ungrouped);
    let span = directory.as_ref().map_or_else(Span::call_site, TokenTree::span);
    let migrations = match (directory.as_ref().and_then(path), except) {
        (Some(directory), Some(except)) => read(&directory, &except),
        (None, _) => Err(vec![NOT_A_PATH.to_owned()]),
        (_, None) => Err(vec![NOT_NAMES.to_owned()]),
    };
    match migrations {
        Ok(migrations) => registry(&onerow.into_iter().collect(), &migrations),
        Err(problems) => quote_spanned!(span=> { #(::core::compile_error!(#problems));* }),
    }
}

const NOT_A_PATH: &str = "expected the path of a folder, in quotes, with `/` and without escapes";
const NOT_NAMES: &str =
    "expected the files to leave out as `except = [\"seed.sql\"]`, with `/` and without escapes";

/// The token itself. A macro hands `$directory` on in a group without delimiters, whose place in
/// the source is not the literal's.
fn ungrouped(token: TokenTree) -> TokenTree {
    match &token {
        TokenTree::Group(group) if group.delimiter() == Delimiter::None => {
            group.stream().into_iter().next().map_or(token, ungrouped)
        }
        _ => token,
    }
}

/// The value of a string literal, which may be raw.
fn path(token: &TokenTree) -> Option<String> {
    let TokenTree::Literal(literal) = token else { return None };
    let literal = literal.to_string();
    match literal.strip_prefix('r') {
        Some(raw) => unquoted(raw.trim_matches('#')),
        None => unquoted(&literal).filter(|path| !path.contains('\\')),
    }
}

fn unquoted(literal: &str) -> Option<String> {
    Some(literal.strip_prefix('"')?.strip_suffix('"')?.to_owned())
}

/// The strings in a group, between commas.
fn names(group: TokenTree) -> Option<Vec<String>> {
    let TokenTree::Group(group) = group else { return None };
    let is_comma = |token: &TokenTree| matches!(token, TokenTree::Punct(_));
    group
        .stream()
        .into_iter()
        .filter(|token| !is_comma(token))
        .map(|token| path(&ungrouped(token)))
        .collect()
}

fn read(directory: &str, except: &[String]) -> Result<Vec<Migration>, Vec<String>> {
    let manifest = env::var("CARGO_MANIFEST_DIR").map_err(|error| {
        vec![format!("cannot tell where the crate is: CARGO_MANIFEST_DIR: {error}")]
    })?;
    folder::read(&Path::new(&manifest).join(directory), directory, except)
}

/// The code that makes the registry: one array of plain data. 300 scripts of one line took 59 s in
/// a release build as 300 boxes made in one function, all of it in LLVM. As this array they take
/// 0.2 s, as long as with `sqlx::migrate!` (rustc 1.95, CPU time). `include_str!` makes cargo build
/// the crate again when a file changes. For `metadata.toml` that is its only purpose.
fn registry(onerow: &TokenStream, migrations: &[Migration]) -> TokenStream {
    let metadata = migrations.iter().filter_map(|migration| migration.metadata.as_deref());
    let scripts = migrations.iter().map(
        |Migration { name, description, path, shown, transactional, .. }| {
            quote! {
                #onerow::__private::Script {
                    name: #name,
                    description: #description,
                    file: #shown,
                    sql: ::core::include_str!(#path),
                    transactional: #transactional,
                }
            }
        },
    );
    quote! {{
        #(const _: &str = ::core::include_str!(#metadata);)*
        const SCRIPTS: &[#onerow::__private::Script] = &[#(#scripts),*];
        #onerow::__private::embedded(SCRIPTS)
    }}
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn expanded(path: &str) -> String {
        expand(quote!(onerow #path [])).to_string()
    }

    /// A folder of this many scripts.
    fn folder_of(count: usize) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..count {
            fs::write(folder.path().join(format!("{number}_a.sql")), "SELECT 1").unwrap();
        }
        folder
    }

    #[test]
    fn an_array_in_order_is_what_it_comes_to() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("10_more.sql"), "-- no-transaction").unwrap();
        fs::write(folder.path().join("9_create_users.sql"), "").unwrap();
        let path = folder.path().to_str().unwrap();
        let (first, second) = (format!("{path}/9_create_users.sql"), format!("{path}/10_more.sql"));
        let expected = quote! {{
            const SCRIPTS: &[onerow::__private::Script] = &[
                onerow::__private::Script {
                    name: "9_create_users",
                    description: "create users",
                    file: #first,
                    sql: ::core::include_str!(#first),
                    transactional: true,
                },
                onerow::__private::Script {
                    name: "10_more",
                    description: "more",
                    file: #second,
                    sql: ::core::include_str!(#second),
                    transactional: false,
                }
            ];
            onerow::__private::embedded(SCRIPTS)
        }};
        assert_eq!(expanded(path), expected.to_string());
    }

    /// Each call or box for a script is code that LLVM optimises, in a time that grows faster than
    /// the number of scripts.
    #[test]
    fn scripts_are_constants_and_the_code_is_one_call_however_many_they_are() {
        let calls = |count| {
            let folder = folder_of(count);
            let expanded = expanded(folder.path().to_str().unwrap());
            assert_eq!(expanded.matches("include_str !").count(), count);
            assert_eq!(expanded.matches("const ").count(), 1);
            let code = expanded.rsplit("] ;").next().unwrap().to_owned();
            assert!(!expanded.contains("Box") && !expanded.contains("vec"), "{expanded}");
            code
        };
        assert_eq!(calls(2), calls(300));
    }

    #[test]
    fn what_is_left_out_is_named_in_brackets() {
        let folder = folder_of(2);
        fs::write(folder.path().join("seed.sql"), "").unwrap();
        let path = folder.path().to_str().unwrap();
        let expanded = expand(quote!(onerow #path ["seed.sql", "1_a.sql"])).to_string();
        assert_eq!(expanded.matches("include_str !").count(), 1, "{expanded}");
        for wrong in [quote!([seed]), quote!(["a\u{62}"]), quote!("seed.sql")] {
            let expanded = expand(quote!(onerow #path #wrong)).to_string();
            assert!(expanded.contains("expected the files to leave out"), "{expanded}");
        }
    }

    #[test]
    fn metadata_is_included_so_that_its_change_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("1_a")).unwrap();
        fs::write(folder.path().join("1_a/up.sql"), "").unwrap();
        fs::write(folder.path().join("1_a/metadata.toml"), "").unwrap();
        let path = folder.path().to_str().unwrap();
        let metadata = format!("{path}/1_a/metadata.toml");
        let tracked = quote!(
            const _: &str = ::core::include_str!(#metadata);
        )
        .to_string();
        assert!(expanded(path).contains(&tracked), "{}", expanded(path));
    }

    #[test]
    fn each_problem_is_an_error_and_the_last_one_ends_the_block_without_a_type() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.sql"), "").unwrap();
        fs::write(folder.path().join("b.sql"), "").unwrap();
        let expanded = expanded(folder.path().to_str().unwrap());
        assert_eq!(expanded.matches("compile_error !").count(), 2, "{expanded}");
        assert!(expanded.ends_with(") }"), "{expanded}");
    }

    #[test]
    fn a_relative_path_counts_from_the_manifest() {
        let expanded = expanded("src");
        assert!(
            expanded.contains(concat!("which is ", env!("CARGO_MANIFEST_DIR"), "/src")),
            "{expanded}"
        );
    }

    #[test]
    fn a_path_is_a_string_raw_or_not_as_it_is_or_from_another_macro() {
        let value = |tokens: TokenStream| path(&ungrouped(tokens.into_iter().next().unwrap()));
        let grouped =
            TokenTree::Group(proc_macro2::Group::new(Delimiter::None, quote!("migrations")));
        for tokens in
            [quote!("migrations"), quote!(r"migrations"), quote!(r#"migrations"#), quote!(#grouped)]
        {
            assert_eq!(value(tokens).as_deref(), Some("migrations"));
        }
        assert_eq!(value(quote!(r"C:\migrations")).as_deref(), Some(r"C:\migrations"));
        for tokens in [
            quote!("migra\u{74}ions"),
            quote!(b"migrations"),
            quote!('m'),
            quote!(7),
            quote!(m),
            quote!(("m")),
        ] {
            assert_eq!(value(tokens.clone()), None, "{tokens}");
        }
    }

    #[test]
    fn nothing_at_all_is_no_path() {
        assert!(expand(TokenStream::new()).to_string().contains(NOT_A_PATH));
    }
}
