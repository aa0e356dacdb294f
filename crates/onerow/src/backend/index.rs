//! What an index is to be.

/// An index, in SQL that goes into the statement as it is.
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
    /// What stands between `CREATE` and the name.
    pub(super) fn kind(&self) -> &'static str {
        if self.unique { "UNIQUE INDEX" } else { "INDEX" }
    }

    /// What stands after the table.
    pub(super) fn definition(&self, with_method: bool) -> String {
        let method = self.method.filter(|_| with_method).map(|method| format!("USING {method} "));
        let filter = self.filter.map(|condition| format!(" WHERE {condition}"));
        format!("{}({}){}", method.unwrap_or_default(), self.columns, filter.unwrap_or_default())
    }
}
