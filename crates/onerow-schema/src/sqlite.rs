//! The catalog of SQLite.

use std::collections::BTreeMap;

use onerow_sql::standard_literal;
use sea_orm::{ConnectionTrait, DbErr, QueryResult};

use super::{
    Column, ForeignKey, Kind, Schema, Table,
    create_table::{CreateTable, Rule},
    named, optional, rows,
    sql::{self, Token, bracketed, items, print, tokens},
    text,
};

pub(super) async fn read(db: &impl ConnectionTrait) -> Result<Schema, DbErr> {
    let mut schema = Schema::default();
    let objects =
        rows(db, OBJECTS).await?.iter().map(Object::read).collect::<Result<Vec<_>, _>>()?;
    for object in &objects {
        match &*object.kind {
            "table" => schema.add(object.table()),
            "view" => schema.add(object.view()),
            _ => (),
        }
    }
    for row in rows(db, COLUMNS).await? {
        if let Some(table) = schema.relations.get_mut(&text(&row, 0)?) {
            column(table, &row)?;
        }
    }
    let keys = primary_keys(&schema);
    for object in &objects {
        if let Some(relation) = schema.relations.get_mut(&object.owner) {
            object.add_to(relation, &keys);
        }
    }
    Ok(schema.sorted())
}

/// A table keeps the name that it was given. An index keeps the table's name from when it was made,
/// whose case may differ.
const OBJECTS: &str = "
    SELECT s.type, s.name, coalesce(t.name, s.tbl_name), s.sql,
        concat_ws(char(10), iif(l.wr, 'without rowid', NULL), iif(l.strict, 'strict', NULL))
    FROM main.sqlite_schema s
    LEFT JOIN main.sqlite_schema t
        ON t.type IN ('table', 'view') AND t.name = s.tbl_name COLLATE NOCASE
    LEFT JOIN pragma_table_list l ON l.schema = 'main' AND l.name = s.name
    WHERE s.sql IS NOT NULL AND s.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
        AND l.type IS NOT 'shadow'";

struct Object {
    kind: String,
    name: String,
    /// The table itself, or the table that the object belongs to.
    owner: String,
    sql: Vec<Token>,
    options: Vec<String>,
}

impl Object {
    fn read(row: &QueryResult) -> Result<Self, DbErr> {
        let options = text(row, 4)?.lines().map(str::to_owned).collect();
        let (kind, name, owner) = (text(row, 0)?, text(row, 1)?, text(row, 2)?);
        Ok(Self { kind, name, owner, sql: tokens(&text(row, 3)?), options })
    }

    fn relation(&self, kind: Kind, options: Vec<String>) -> Table {
        Table {
            kind,
            name: self.name.clone(),
            label: sql::name(&self.name),
            options,
            ..Table::default()
        }
    }

    fn table(&self) -> Table {
        let mut options = self.options.clone();
        if self.sql.get(1).is_some_and(|token| token.is_word("virtual")) {
            options.push(print(self.sql.get(4..).unwrap_or_default()));
        }
        self.relation(Kind::Table, options)
    }

    /// The view after `CREATE VIEW name`.
    fn view(&self) -> Table {
        self.relation(Kind::View, vec![print(self.sql.get(3..).unwrap_or_default())])
    }

    fn add_to(&self, relation: &mut Table, keys: &PrimaryKeys) {
        match &*self.kind {
            "table" => add_constraints(relation, CreateTable::parse(&self.sql), keys),
            "index" => self.add_index(relation),
            "trigger" => relation.triggers.push(print(self.sql.get(1..).unwrap_or_default())),
            _ => (),
        }
    }

    /// `CREATE UNIQUE INDEX name ON table (email) WHERE …`
    fn add_index(&self, table: &mut Table) {
        let unique = self.sql.get(1).is_some_and(|token| token.is_word("unique"));
        let definition = self.sql.get(5 + usize::from(unique)..).unwrap_or_default();
        let keyword = if unique { "unique index" } else { "index" };
        table.indexes.push(format!("{keyword} {} {}", sql::name(&self.name), print(definition)));
        if let Some(mut columns) = indexed_columns(definition).filter(|_| unique) {
            columns.sort();
            table.keys.unique.push(columns);
        }
    }
}

/// The columns of an index, if it is of columns alone and of all rows.
fn indexed_columns(definition: &[Token]) -> Option<Vec<String>> {
    let (list, []) = bracketed(definition)? else { return None };
    let column = |item: &[Token]| match item {
        [Token::Word(name) | Token::Quoted(name), rest @ ..] => {
            let ordering = |word| rest.first().is_some_and(|token| token.is_word(word));
            (rest.is_empty() || ["collate", "asc", "desc"].into_iter().any(ordering))
                .then(|| name.clone())
        }
        _ => None,
    };
    items(list).into_iter().map(column).collect()
}

/// Column 6 is 0 for a plain column, 1 for a hidden one of a virtual table, 2 and 3 for a generated
/// one.
const COLUMNS: &str = r#"
    SELECT s.name, x.name, lower(x.type), x."notnull", x.dflt_value, x.pk
    FROM main.sqlite_schema s, pragma_table_xinfo(s.name, 'main') x
    WHERE s.type = 'table' AND x.hidden <> 1
    ORDER BY s.name, x.cid"#;

fn column(table: &mut Table, row: &QueryResult) -> Result<(), DbErr> {
    let name = text(row, 1)?;
    let place: i64 = row.try_get_by_index(5)?;
    if let Some(place) = usize::try_from(place).ok().filter(|place| *place > 0) {
        let primary = &mut table.keys.primary;
        primary.resize(primary.len().max(place), String::new());
        primary[place - 1].clone_from(&name);
    }
    table.columns.push(Column {
        label: sql::name(&name),
        name,
        // SQLite keeps `varchar( 20 )` as it was written.
        data_type: print(&tokens(&text(row, 2)?)),
        collation: None,
        nullable: row.try_get_by_index::<i64>(3)? == 0,
        default: optional(row, 4)?.map(|default| default_value(&default)),
        generated: None,
    });
    Ok(())
}

/// A default refers to no column, so double quotes hold a string there.
fn default_value(expression: &str) -> String {
    let mut tokens = tokens(expression);
    for token in &mut tokens {
        if let Token::Quoted(text) = token {
            *token = Token::Literal(standard_literal(text));
        }
    }
    print(&tokens)
}

/// The primary keys of the tables, by the table's name in lower case.
type PrimaryKeys = BTreeMap<String, (String, Vec<String>)>;

fn primary_keys(schema: &Schema) -> PrimaryKeys {
    let key = |table: &Table| {
        (table.name.to_lowercase(), (table.name.clone(), table.keys.primary.clone()))
    };
    schema.relations.values().map(key).collect()
}

fn add_constraints(table: &mut Table, statement: CreateTable, keys: &PrimaryKeys) {
    for constraint in statement.constraints {
        let definition = add_rule(table, constraint.rule, keys);
        table.constraints.push(named(constraint.label.as_deref(), &definition));
    }
    for (name, detail) in statement.columns {
        if let Some(column) = table.columns.iter_mut().find(|column| column.name == name) {
            (column.collation, column.generated) = (detail.collation, detail.generated);
        }
    }
    number_rows(table);
}

/// Adds a rule to the table; returns how it is printed.
fn add_rule(table: &mut Table, rule: Rule, keys: &PrimaryKeys) -> String {
    match rule {
        Rule::PrimaryKey(definition) => format!("primary key {definition}"),
        Rule::Check(expression) => format!("check ({expression})"),
        Rule::Unique(mut columns, definition) => {
            columns.sort();
            table.keys.unique.push(columns);
            format!("unique {definition}")
        }
        Rule::ForeignKey(key, checked) => {
            let key = resolved(key, keys);
            let definition = format!("{key}{checked}");
            table.keys.foreign.push(key);
            definition
        }
    }
}

/// With the table's name as in its own statement. Without columns, the key refers to that table's
/// primary key.
fn resolved(mut key: ForeignKey, keys: &PrimaryKeys) -> ForeignKey {
    if let Some((name, primary)) = keys.get(&key.table.to_lowercase()) {
        key.table.clone_from(name);
        if key.target.is_empty() {
            key.target.clone_from(primary);
        }
    }
    key
}

/// If an integer is all of a table's primary key, it is the number of the row, and never NULL
/// (<https://www.sqlite.org/lang_createtable.html#rowid>).
fn number_rows(table: &mut Table) {
    let [key] = &*table.keys.primary else { return };
    let column = table.columns.iter_mut().find(|column| column.name == *key);
    let without = table.options.iter().any(|option| option == "without rowid");
    if let Some(column) = column.filter(|column| column.data_type == "integer" && !without) {
        column.nullable = false;
        table.keys.row_number = Some(key.clone());
    }
}
