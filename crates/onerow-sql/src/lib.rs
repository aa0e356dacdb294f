//! SQL as text: its tokens and statements, quoted names and literals, and what is for psql alone.
//!
//! onerow, its macros and its schema reader share it. The tokenizers on crates.io come with a whole
//! parser, and each user of onerow would compile that.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod lexer;
mod names;
pub mod psql;

pub use lexer::{Dialect, Kind, Token, line, statements, tokens};
pub use names::{qualified, quoted_literal, quoted_name};
