//! SQL as text: tokens and statements, quoted names and literals, and the commands of psql.
//!
//! onerow, its macros and its schema reader share it. The tokenizers on crates.io come with a whole
//! parser, which each user of onerow would have to compile.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod lexer;
mod names;
pub mod psql;

pub use lexer::{Dialect, Kind, Token, line, statements, tokens};
pub use names::{qualified, quoted_literal, quoted_name, standard_literal};
