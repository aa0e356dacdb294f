//! The part of `onerow::embed_migrations!` that runs in the compiler.
//!
//! | module | holds |
//! |---|---|
//! | `folder` | the files of a folder, and what is wrong with them |
//! | `naming` | what a file's name means to sqlx, refinery and diesel |
//! | `metadata` | diesel's `metadata.toml` |

mod folder;
mod metadata;
mod naming;

use std::{env, path::Path};

use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};
use quote::{quote, quote_spanned};

use folder::Migration;

/// Not an interface: what `onerow::embed_migrations!` calls, with its `$crate` and the path.
#[proc_macro]
pub fn embed_migrations(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    expand(input.into()).into()
}

fn expand(input: TokenStream) -> TokenStream {
    let mut onerow: Vec<_> = input.into_iter().collect();
    let directory = onerow.pop().map(ungrouped);
    let span = directory.as_ref().map_or_else(Span::call_site, TokenTree::span);
    let migrations = match directory.as_ref().and_then(path) {
        Some(directory) => read(&directory),
        None => Err(vec![NOT_A_PATH.to_owned()]),
    };
    match migrations {
        Ok(migrations) => registry(&onerow.into_iter().collect(), &migrations),
        Err(problems) => quote_spanned!(span=> { #(::core::compile_error!(#problems));* }),
    }
}

const NOT_A_PATH: &str = "expected the path of a folder, in quotes, with `/` and without escapes";

/// What a macro hands on as `$directory` stands in a group without delimiters, whose place is not that of the literal.
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

fn read(directory: &str) -> Result<Vec<Migration>, Vec<String>> {
    let manifest = env::var("CARGO_MANIFEST_DIR")
        .map_err(|error| vec![format!("cannot tell where the crate is: CARGO_MANIFEST_DIR: {error}")])?;
    folder::read(&Path::new(&manifest).join(directory), directory)
}

/// `include_str!` has cargo build the crate again when a file changes, which for `metadata.toml` is all it is for.
fn registry(onerow: &TokenStream, migrations: &[Migration]) -> TokenStream {
    let metadata = migrations.iter().filter_map(|migration| migration.metadata.as_deref());
    let migrations = migrations.iter().map(|Migration { name, description, path, transactional, .. }| {
        quote! {
            ::std::boxed::Box::new(
                #onerow::SqlMigration::new(#name, #description, ::core::include_str!(#path), #transactional)
            ) as ::std::boxed::Box<dyn #onerow::MigrationTrait>
        }
    });
    quote! {{
        #(const _: &str = ::core::include_str!(#metadata);)*
        #onerow::Registry::new(::std::vec![#(#migrations),*])
    }}
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn expanded(path: &str) -> String {
        expand(quote!(onerow #path)).to_string()
    }

    #[test]
    fn a_registry_in_order_is_what_it_comes_to() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("10_more.sql"), "-- no-transaction").unwrap();
        fs::write(folder.path().join("9_create_users.sql"), "").unwrap();
        let path = folder.path().to_str().unwrap();
        let (first, second) = (format!("{path}/9_create_users.sql"), format!("{path}/10_more.sql"));
        let expected = quote! {{
            onerow::Registry::new(::std::vec![
                ::std::boxed::Box::new(
                    onerow::SqlMigration::new("9_create_users", "create users", ::core::include_str!(#first), true)
                ) as ::std::boxed::Box<dyn onerow::MigrationTrait>,
                ::std::boxed::Box::new(
                    onerow::SqlMigration::new("10_more", "more", ::core::include_str!(#second), false)
                ) as ::std::boxed::Box<dyn onerow::MigrationTrait>
            ])
        }};
        assert_eq!(expanded(path), expected.to_string());
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
        assert!(expanded.contains(concat!("which is ", env!("CARGO_MANIFEST_DIR"), "/src")), "{expanded}");
    }

    #[test]
    fn a_path_is_a_string_raw_or_not_as_it_is_or_from_another_macro() {
        let value = |tokens: TokenStream| path(&ungrouped(tokens.into_iter().next().unwrap()));
        let grouped = TokenTree::Group(proc_macro2::Group::new(Delimiter::None, quote!("migrations")));
        for tokens in [quote!("migrations"), quote!(r"migrations"), quote!(r#"migrations"#), quote!(#grouped)]
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
