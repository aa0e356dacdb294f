//! Making an index.

use async_trait::async_trait;
use sea_orm::{DatabaseConnection, DbErr};

/// Makes an index, see [`create_index`](crate::create_index).
#[async_trait]
pub(crate) trait CreateIndex: Sync {
    async fn create_index(&self, pool: &DatabaseConnection, index: &Index<'_>)
    -> Result<(), DbErr>;
}

/// The index to make. Its parts are SQL, and go into the statement as they are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Index<'a> {
    pub(crate) name: &'a str,
    pub(crate) table: &'a str,
    pub(crate) columns: &'a str,
    pub(crate) unique: bool,
    pub(crate) method: Option<&'a str>,
    pub(crate) filter: Option<&'a str>,
}

impl Index<'_> {
    /// The words between `CREATE` and the name.
    pub(super) fn kind(&self) -> &'static str {
        if self.unique { "UNIQUE INDEX" } else { "INDEX" }
    }

    /// Whether an index of this name that is there already will do.
    pub(super) fn check(&self, is_unique: bool) -> Result<(), DbErr> {
        if is_unique == self.unique {
            return Ok(());
        }
        let (name, not) = (self.name, if is_unique { "" } else { "not " });
        Err(DbErr::Migration(format!(
            "there is an index {name} already, and it is {not}unique: drop it first, or give this \
             one another name"
        )))
    }

    /// The part of the statement after the table.
    pub(super) fn definition(&self, with_method: bool) -> String {
        let method = self.method.filter(|_| with_method).map(|method| format!("USING {method} "));
        let filter = self.filter.map(|condition| format!(" WHERE {condition}"));
        format!("{}({}){}", method.unwrap_or_default(), self.columns, filter.unwrap_or_default())
    }
}
