//! The catalog of PostgreSQL.

use onerow_sql::qualified;
use sea_orm::{ConnectionTrait, DbErr, QueryResult};

use super::{Column, ForeignKey, Kind, Schema, Table, named, optional, rows, text};

/// Separates the items of a list that is read as one text.
const SEPARATOR: char = '\u{1f}';

/// The schema that is read. It stands for `{here}` in the queries.
const HERE: &str = "pg_catalog.quote_ident(pg_catalog.current_schema())::pg_catalog.regnamespace";

pub(super) async fn read(db: &impl ConnectionTrait) -> Result<Schema, DbErr> {
    refuse_older(db).await?;
    current_schema(db)
        .await?
        .ok_or_else(|| DbErr::Custom("the search path names no schema that exists".into()))?;

    let mut schema = Schema::default();
    for row in rows(db, query(RELATIONS)).await? {
        schema.add(relation(&row)?);
    }
    parts(db, &mut schema, COLUMNS, column).await?;
    parts(db, &mut schema, CONSTRAINTS, constraint).await?;
    parts(db, &mut schema, INDEXES, index).await?;
    parts(db, &mut schema, TRIGGERS, trigger).await?;
    for sql in [ENUMS, DOMAINS, SEQUENCES, FUNCTIONS, AGGREGATES] {
        for row in rows(db, query(sql)).await? {
            let lines = list(&row, 1)?.iter().flat_map(|item| lines(item)).collect();
            schema.others.insert(text(&row, 0)?, lines);
        }
    }
    Ok(schema.sorted())
}

/// PostgreSQL 12 has no type `regcollation`.
const OLDEST: i32 = 130_000;

async fn refuse_older(db: &impl ConnectionTrait) -> Result<(), DbErr> {
    let version = "SELECT pg_catalog.current_setting('server_version_num')::pg_catalog.int4,
        pg_catalog.current_setting('server_version')";
    rows(db, version)
        .await?
        .iter()
        .try_for_each(|row| check(row.try_get_by_index(0)?, &text(row, 1)?))
}

fn check(version: i32, name: &str) -> Result<(), DbErr> {
    if version >= OLDEST {
        return Ok(());
    }
    let reason = "and a schema is read from PostgreSQL 13 on";
    Err(DbErr::Custom(format!("the server is PostgreSQL {name}, {reason}")))
}

/// The schema that the search path begins with, if there is one.
pub(super) async fn current_schema(db: &impl ConnectionTrait) -> Result<Option<String>, DbErr> {
    let found = rows(db, "SELECT pg_catalog.current_schema()::pg_catalog.text").await?;
    Ok(found.first().map(|row| optional(row, 0)).transpose()?.flatten())
}

/// The query with its schema filled in, and each operator in `pg_catalog`.
fn query(sql: &str) -> String {
    qualified(&sql.replace("{here}", HERE))
}

/// Adds the parts that a query finds to their relation, which its first column names.
async fn parts(
    db: &impl ConnectionTrait,
    schema: &mut Schema,
    sql: &str,
    add: fn(&mut Table, &QueryResult) -> Result<(), DbErr>,
) -> Result<(), DbErr> {
    for row in rows(db, query(sql)).await? {
        if let Some(relation) = schema.relations.get_mut(&text(&row, 0)?) {
            add(relation, &row)?;
        }
    }
    Ok(())
}

fn list(row: &QueryResult, index: usize) -> Result<Vec<String>, DbErr> {
    let joined = optional(row, index)?.filter(|joined| !joined.is_empty());
    Ok(joined.map_or(vec![], |joined| joined.split(SEPARATOR).map(str::to_owned).collect()))
}

/// The lines of an item. pg_get_functiondef indents those before the body by one blank.
fn lines(item: &str) -> Vec<String> {
    let mut in_front = true;
    let line = |line: &str| {
        in_front &= line.starts_with(' ');
        line[usize::from(in_front)..].to_owned()
    };
    item.trim_end_matches('\n').split('\n').map(line).collect()
}

const RELATIONS: &str = "
    SELECT c.relname::pg_catalog.text, pg_catalog.quote_ident(c.relname),
        c.relkind::pg_catalog.text,
        pg_catalog.array_to_string(ARRAY[
            CASE WHEN c.relpersistence = 'u' THEN 'unlogged' END,
            'partition by ' || pg_catalog.lower(pg_catalog.split_part(k, ' ', 1))
                || pg_catalog.substr(k, pg_catalog.strpos(k, ' ')),
            CASE WHEN c.relispartition THEN 'partition of ' ELSE 'inherits ' END
                || (SELECT pg_catalog.string_agg(
                        inhparent::pg_catalog.regclass::pg_catalog.text, ', ' ORDER BY inhseqno)
                    FROM pg_catalog.pg_inherits WHERE inhrelid = c.oid)
                || coalesce(' ' || pg_catalog.pg_get_expr(c.relpartbound, c.oid), ''),
            'with (' || pg_catalog.array_to_string(c.reloptions, ', ') || ')',
            CASE WHEN c.relrowsecurity THEN 'row level security' END
        ], pg_catalog.chr(31)),
        CASE WHEN c.relkind = ANY ('{v,m}') THEN pg_catalog.pg_get_viewdef(c.oid, true) END
    FROM pg_catalog.pg_class c, pg_catalog.pg_get_partkeydef(c.oid) k
    WHERE c.relnamespace = {here}
        AND c.relkind = ANY ('{r,p,v,m,c}')
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
            WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                AND d.objid = c.oid AND d.deptype = 'e')";

fn relation(row: &QueryResult) -> Result<Table, DbErr> {
    let kind = match &*text(row, 2)? {
        "v" => Kind::View,
        "m" => Kind::MaterializedView,
        "c" => Kind::CompositeType,
        _ => Kind::Table,
    };
    let mut options = list(row, 3)?;
    if let Some(definition) = optional(row, 4)? {
        let definition = definition.trim_end().trim_end_matches(';');
        // PostgreSQL indents every line by one blank.
        options.extend(
            definition.lines().map(|line| line.strip_prefix(' ').unwrap_or(line).to_owned()),
        );
    }
    Ok(Table { kind, name: text(row, 0)?, label: text(row, 1)?, options, ..Table::default() })
}

const COLUMNS: &str = "
    SELECT c.relname::pg_catalog.text, a.attname::pg_catalog.text,
        pg_catalog.quote_ident(a.attname),
        pg_catalog.format_type(a.atttypid, a.atttypmod),
        CASE WHEN a.attcollation <> t.typcollation
            THEN a.attcollation::pg_catalog.regcollation::pg_catalog.text END,
        a.attnotnull,
        CASE WHEN a.attgenerated = '' THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END,
        CASE WHEN a.attidentity = 'a' THEN 'always as identity'
            WHEN a.attidentity = 'd' THEN 'by default as identity'
            ELSE CASE WHEN a.attgenerated <> '' THEN
                pg_catalog.format('always as (%s) %s', pg_catalog.pg_get_expr(d.adbin, d.adrelid),
                    CASE WHEN a.attgenerated = 's' THEN 'stored' ELSE 'virtual' END) END
        END
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relnamespace = {here}
        AND c.relkind = ANY ('{r,p,c}')
    ORDER BY c.oid, a.attnum";

fn column(relation: &mut Table, row: &QueryResult) -> Result<(), DbErr> {
    relation.columns.push(Column {
        name: text(row, 1)?,
        label: text(row, 2)?,
        data_type: text(row, 3)?,
        collation: optional(row, 4)?,
        nullable: !row.try_get_by_index::<bool>(5)?,
        default: optional(row, 6)?,
        generated: optional(row, 7)?,
    });
    Ok(())
}

/// Since PostgreSQL 18 each NOT NULL is a constraint, of contype `n`. The column says it, so such a
/// constraint is here only if it says more. A partition does not repeat the constraints of its table.
const CONSTRAINTS: &str = "
    SELECT c.relname::pg_catalog.text, pg_catalog.quote_ident(o.conname),
        o.contype::pg_catalog.text, pg_catalog.pg_get_constraintdef(o.oid),
        (SELECT pg_catalog.string_agg(a.attname, pg_catalog.chr(31) ORDER BY k.position)
            FROM pg_catalog.unnest(o.conkey) WITH ORDINALITY k(attnum, position)
            JOIN pg_catalog.pg_attribute a ON a.attrelid = o.conrelid AND a.attnum = k.attnum),
        CASE WHEN f.relnamespace <> c.relnamespace
            THEN f.relnamespace::pg_catalog.regnamespace || '.' ELSE '' END
            || f.relname,
        (SELECT pg_catalog.string_agg(a.attname, pg_catalog.chr(31) ORDER BY k.position)
            FROM pg_catalog.unnest(o.confkey) WITH ORDINALITY k(attnum, position)
            JOIN pg_catalog.pg_attribute a ON a.attrelid = o.confrelid AND a.attnum = k.attnum),
        o.confdeltype::pg_catalog.text, o.confupdtype::pg_catalog.text
    FROM pg_catalog.pg_constraint o
    JOIN pg_catalog.pg_class c ON c.oid = o.conrelid
    LEFT JOIN pg_catalog.pg_class f ON f.oid = o.confrelid
    WHERE c.relnamespace = {here}
        AND (o.contype = ANY ('{p,u,f,c,x}')
            OR o.contype = 'n' AND (NOT o.convalidated OR o.connoinherit))
        AND o.conislocal AND o.conparentid = 0";

fn constraint(relation: &mut Table, row: &QueryResult) -> Result<(), DbErr> {
    let (kind, definition) = (text(row, 2)?, text(row, 3)?);
    let definition = match &*kind {
        "c" | "x" => lower_first_word(&definition),
        _ => lower_outside_quotes(&definition),
    };
    relation.constraints.push(named(Some(&text(row, 1)?), &definition));

    let mut columns = list(row, 4)?;
    match &*kind {
        "p" => relation.keys.primary = columns,
        "u" => {
            columns.sort();
            relation.keys.unique.push(columns);
        }
        "f" => relation.keys.foreign.push(ForeignKey {
            columns,
            table: text(row, 5)?,
            target: list(row, 6)?,
            on_delete: action(&text(row, 7)?).into(),
            on_update: action(&text(row, 8)?).into(),
        }),
        _ => (),
    }
    Ok(())
}

/// <https://www.postgresql.org/docs/current/catalog-pg-constraint.html>
fn action(code: &str) -> &'static str {
    match code {
        "r" => "restrict",
        "c" => "cascade",
        "n" => "set null",
        "d" => "set default",
        _ => "",
    }
}

fn lower_first_word(definition: &str) -> String {
    let (word, rest) = definition.split_once(' ').unwrap_or((definition, ""));
    format!("{} {rest}", word.to_lowercase())
}

/// It is for definitions without an expression. Upper-case text that is no keyword is in double
/// quotes.
fn lower_outside_quotes(definition: &str) -> String {
    let parts = definition.split('"').enumerate();
    let lowered =
        parts.map(|(i, part)| if i % 2 == 0 { part.to_lowercase() } else { part.to_owned() });
    lowered.collect::<Vec<_>>().join("\"")
}

/// pg_get_indexdef writes the schema always, and only before the table.
const INDEXES: &str = "
    SELECT c.relname::pg_catalog.text,
        pg_catalog.concat_ws(' ', CASE WHEN NOT i.indisvalid THEN 'invalid' END,
            CASE WHEN i.indisunique THEN 'unique' END, 'index', pg_catalog.quote_ident(x.relname),
            pg_catalog.substr(d.definition, pg_catalog.strpos(d.definition, d.before)
                + pg_catalog.length(d.before))),
        CASE WHEN i.indisunique AND i.indexprs IS NULL AND i.indpred IS NULL THEN
            (SELECT pg_catalog.string_agg(a.attname, pg_catalog.chr(31) ORDER BY a.attname)
                FROM pg_catalog.unnest(i.indkey) WITH ORDINALITY k(attnum, position)
                JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
                WHERE k.position <= i.indnkeyatts) END
    FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
    JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid,
    LATERAL (SELECT pg_catalog.pg_get_indexdef(x.oid),
        pg_catalog.format(' ON %s%I.%I USING ', CASE WHEN x.relkind = 'I' THEN 'ONLY ' END,
            pg_catalog.current_schema(), c.relname)
    ) d(definition, before)
    WHERE c.relnamespace = {here}
        AND NOT x.relispartition
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint o
            WHERE o.conindid = x.oid AND o.contype = ANY ('{p,u,x}'))";

fn index(relation: &mut Table, row: &QueryResult) -> Result<(), DbErr> {
    relation.indexes.push(text(row, 1)?);
    let mut columns = list(row, 2)?;
    if !columns.is_empty() {
        columns.sort();
        relation.keys.unique.push(columns);
    }
    Ok(())
}

const TRIGGERS: &str = "
    SELECT c.relname::pg_catalog.text, pg_catalog.pg_get_triggerdef(t.oid, true),
        CASE WHEN t.tgenabled = 'D' THEN ' disabled'
            WHEN t.tgenabled = 'R' THEN ' on replicas'
            WHEN t.tgenabled = 'A' THEN ' always' END
    FROM pg_catalog.pg_trigger t
    JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
    WHERE c.relnamespace = {here}
        AND NOT t.tgisinternal AND t.tgparentid = 0";

fn trigger(relation: &mut Table, row: &QueryResult) -> Result<(), DbErr> {
    let definition = text(row, 1)?;
    let definition = definition.strip_prefix("CREATE ").unwrap_or(&definition);
    let definition = match definition.strip_prefix("CONSTRAINT ") {
        Some(definition) => format!("constraint {}", lower_first_word(definition)),
        None => lower_first_word(definition),
    };
    relation.triggers.push(definition + &optional(row, 2)?.unwrap_or_default());
    Ok(())
}

const ENUMS: &str = "
    SELECT 'enum ' || pg_catalog.quote_ident(t.typname),
        (SELECT pg_catalog.string_agg(
                pg_catalog.quote_literal(e.enumlabel), pg_catalog.chr(31) ORDER BY e.enumsortorder)
            FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid)
    FROM pg_catalog.pg_type t
    WHERE t.typnamespace = {here}
        AND t.typtype = 'e'
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
            WHERE d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass
                AND d.objid = t.oid AND d.deptype = 'e')";

const DOMAINS: &str = "
    SELECT 'domain ' || pg_catalog.quote_ident(t.typname),
        pg_catalog.concat_ws(pg_catalog.chr(31),
            pg_catalog.concat_ws(' ', pg_catalog.format_type(t.typbasetype, t.typtypmod),
                CASE WHEN t.typcollation <> b.typcollation
                    THEN 'collate ' || t.typcollation::pg_catalog.regcollation END,
                CASE WHEN t.typnotnull THEN 'not null' END,
                'default ' || t.typdefault),
            (SELECT pg_catalog.string_agg(
                    pg_catalog.format('constraint %I check%s', o.conname,
                        pg_catalog.substr(pg_catalog.pg_get_constraintdef(o.oid), 6)),
                    pg_catalog.chr(31) ORDER BY o.conname::pg_catalog.text COLLATE pg_catalog.\"C\")
                FROM pg_catalog.pg_constraint o
                WHERE o.contypid = t.oid AND o.contype = 'c'))
    FROM pg_catalog.pg_type t
    JOIN pg_catalog.pg_type b ON b.oid = t.typbasetype
    WHERE t.typnamespace = {here}
        AND t.typtype = 'd'
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
            WHERE d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass
                AND d.objid = t.oid AND d.deptype = 'e')";

const SEQUENCES: &str = "
    SELECT 'sequence ' || pg_catalog.quote_ident(c.relname),
        pg_catalog.format('%s start %s increment %s minvalue %s maxvalue %s cache %s%s',
            pg_catalog.format_type(s.seqtypid, NULL),
            s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache,
            CASE WHEN s.seqcycle THEN ' cycle' END)
    FROM pg_catalog.pg_sequence s
    JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
    WHERE c.relnamespace = {here}
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
            WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                AND d.objid = c.oid AND d.deptype = ANY ('{a,i,e}'))";

/// pg_get_functiondef writes the schema always, and only before the name. The heading has its first
/// line; a line of its own has the arguments if they have defaults.
const FUNCTIONS: &str = "
    SELECT pg_catalog.format('%s %I(%s)',
            CASE WHEN p.prokind = 'p' THEN 'procedure' ELSE 'function' END, p.proname,
            pg_catalog.pg_get_function_identity_arguments(p.oid)),
        pg_catalog.concat_ws(pg_catalog.chr(31),
            CASE WHEN p.pronargdefaults > 0
                THEN '(' || pg_catalog.pg_get_function_arguments(p.oid) || ')' END,
            pg_catalog.replace(pg_catalog.substr(pg_catalog.pg_get_functiondef(p.oid),
                pg_catalog.length(pg_catalog.format('CREATE OR REPLACE %s %I.%I(%s)',
                    CASE WHEN p.prokind = 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END,
                    pg_catalog.current_schema(), p.proname,
                    pg_catalog.pg_get_function_arguments(p.oid))) + 2), pg_catalog.chr(31), ''))
    FROM pg_catalog.pg_proc p
    WHERE p.pronamespace = {here}
        AND p.prokind <> 'a'
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
            WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
                AND d.objid = p.oid AND d.deptype = ANY ('{i,e}'))";

const AGGREGATES: &str = "
    SELECT pg_catalog.format('aggregate %I(%s)',
            p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid)),
        pg_catalog.concat_ws(' ', 'sfunc', a.aggtransfn, 'stype',
            pg_catalog.format_type(a.aggtranstype, NULL),
            CASE WHEN a.aggfinalfn::pg_catalog.oid <> 0
                THEN 'finalfunc ' || a.aggfinalfn::pg_catalog.regproc END,
            'initcond ' || pg_catalog.quote_literal(a.agginitval))
    FROM pg_catalog.pg_aggregate a
    JOIN pg_catalog.pg_proc p ON p.oid = a.aggfnoid
    WHERE p.pronamespace = {here}
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
            WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
                AND d.objid = p.oid AND d.deptype = 'e')";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_server_is_refused_by_its_name() {
        let error = check(120_022, "12.22").unwrap_err().to_string();
        assert!(error.contains("PostgreSQL 12.22") && error.contains("13 on"), "{error}");
        check(130_000, "13.0").unwrap();
    }
}
