//! The catalog of PostgreSQL.

use sea_orm::{ConnectionTrait, DbErr, QueryResult};

use super::{Column, ForeignKey, Kind, Schema, Table, named, optional, rows, text};

/// Between the items of a list that is read as one text.
const SEPARATOR: char = '\u{1f}';

pub(super) async fn read(db: &impl ConnectionTrait) -> Result<Schema, DbErr> {
    let current = rows(db, "SELECT current_schema()::text").await?;
    let current = current.first().map(|row| optional(row, 0)).transpose()?.flatten();
    current.ok_or_else(|| DbErr::Custom("the search path names no schema that exists".into()))?;

    let mut schema = Schema::default();
    for row in rows(db, RELATIONS).await? {
        schema.add(relation(&row)?);
    }
    parts(db, &mut schema, COLUMNS, column).await?;
    parts(db, &mut schema, CONSTRAINTS, constraint).await?;
    parts(db, &mut schema, INDEXES, index).await?;
    parts(db, &mut schema, TRIGGERS, trigger).await?;
    for sql in [ENUMS, DOMAINS, SEQUENCES, FUNCTIONS, AGGREGATES] {
        for row in rows(db, sql).await? {
            let lines = list(&row, 1)?.iter().flat_map(|item| lines(item)).collect();
            schema.others.insert(text(&row, 0)?, lines);
        }
    }
    Ok(schema.sorted())
}

/// Adds to each relation what a query finds of its parts; the first column names the relation.
async fn parts(
    db: &impl ConnectionTrait,
    schema: &mut Schema,
    sql: &str,
    add: fn(&mut Table, &QueryResult) -> Result<(), DbErr>,
) -> Result<(), DbErr> {
    for row in rows(db, sql).await? {
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

/// The lines of an item; pg_get_functiondef indents those in front of the body by one blank.
fn lines(item: &str) -> Vec<String> {
    let mut in_front = true;
    let line = |line: &str| {
        in_front &= line.starts_with(' ');
        line[usize::from(in_front)..].to_owned()
    };
    item.trim_end_matches('\n').split('\n').map(line).collect()
}

const RELATIONS: &str = "
    SELECT c.relname::text, quote_ident(c.relname), c.relkind::text,
        array_to_string(ARRAY[
            CASE c.relpersistence WHEN 'u' THEN 'unlogged' END,
            'partition by ' || lower(split_part(k, ' ', 1)) || substr(k, strpos(k, ' ')),
            CASE WHEN c.relispartition THEN 'partition of ' ELSE 'inherits ' END
                || (SELECT string_agg(inhparent::regclass::text, ', ' ORDER BY inhseqno)
                    FROM pg_inherits WHERE inhrelid = c.oid)
                || coalesce(' ' || pg_get_expr(c.relpartbound, c.oid), ''),
            'with (' || array_to_string(c.reloptions, ', ') || ')',
            CASE WHEN c.relrowsecurity THEN 'row level security' END
        ], chr(31)),
        CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid, true) END
    FROM pg_class c, pg_get_partkeydef(c.oid) k
    WHERE c.relnamespace = quote_ident(current_schema())::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'c')
        AND NOT EXISTS (SELECT FROM pg_depend d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')";

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
        options.extend(definition.lines().map(|line| line.strip_prefix(' ').unwrap_or(line).to_owned()));
    }
    Ok(Table { kind, name: text(row, 0)?, label: text(row, 1)?, options, ..Table::default() })
}

const COLUMNS: &str = "
    SELECT c.relname::text, a.attname::text, quote_ident(a.attname), format_type(a.atttypid, a.atttypmod),
        CASE WHEN a.attcollation <> t.typcollation THEN a.attcollation::regcollation::text END,
        a.attnotnull,
        CASE a.attgenerated WHEN '' THEN pg_get_expr(d.adbin, d.adrelid) END,
        CASE a.attidentity WHEN 'a' THEN 'always as identity' WHEN 'd' THEN 'by default as identity'
            ELSE CASE WHEN a.attgenerated <> '' THEN
                format('always as (%s) %s', pg_get_expr(d.adbin, d.adrelid),
                    CASE a.attgenerated WHEN 's' THEN 'stored' ELSE 'virtual' END) END
        END
    FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relnamespace = quote_ident(current_schema())::regnamespace AND c.relkind IN ('r', 'p', 'c')
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

/// Without those of contype `n`, which PostgreSQL 18 has for NOT NULL: that is told by the column. What a partition has
/// from the table that it is of is told there.
const CONSTRAINTS: &str = "
    SELECT c.relname::text, quote_ident(o.conname), o.contype::text, pg_get_constraintdef(o.oid),
        (SELECT string_agg(a.attname, chr(31) ORDER BY k.position)
            FROM unnest(o.conkey) WITH ORDINALITY k(attnum, position)
            JOIN pg_attribute a ON a.attrelid = o.conrelid AND a.attnum = k.attnum),
        CASE WHEN f.relnamespace <> c.relnamespace THEN f.relnamespace::regnamespace || '.' ELSE '' END
            || f.relname,
        (SELECT string_agg(a.attname, chr(31) ORDER BY k.position)
            FROM unnest(o.confkey) WITH ORDINALITY k(attnum, position)
            JOIN pg_attribute a ON a.attrelid = o.confrelid AND a.attnum = k.attnum),
        o.confdeltype::text, o.confupdtype::text
    FROM pg_constraint o
    JOIN pg_class c ON c.oid = o.conrelid
    LEFT JOIN pg_class f ON f.oid = o.confrelid
    WHERE c.relnamespace = quote_ident(current_schema())::regnamespace AND o.contype IN ('p', 'u', 'f', 'c', 'x')
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

/// For definitions without an expression. What is upper case there and no keyword is in double quotes.
fn lower_outside_quotes(definition: &str) -> String {
    let parts = definition.split('"').enumerate();
    let lowered = parts.map(|(i, part)| if i % 2 == 0 { part.to_lowercase() } else { part.to_owned() });
    lowered.collect::<Vec<_>>().join("\"")
}

/// pg_get_indexdef names the schema, always and only in front of the table.
const INDEXES: &str = "
    SELECT c.relname::text,
        concat_ws(' ', CASE WHEN NOT i.indisvalid THEN 'invalid' END, CASE WHEN i.indisunique THEN 'unique' END,
            'index', quote_ident(x.relname), substr(d.definition, strpos(d.definition, d.before) + length(d.before))),
        CASE WHEN i.indisunique AND i.indexprs IS NULL AND i.indpred IS NULL THEN
            (SELECT string_agg(a.attname, chr(31) ORDER BY a.attname)
                FROM unnest(i.indkey) WITH ORDINALITY k(attnum, position)
                JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
                WHERE k.position <= i.indnkeyatts) END
    FROM pg_index i
    JOIN pg_class c ON c.oid = i.indrelid
    JOIN pg_class x ON x.oid = i.indexrelid,
    LATERAL (SELECT pg_get_indexdef(x.oid),
        format(' ON %s%I.%I USING ', CASE x.relkind WHEN 'I' THEN 'ONLY ' END, current_schema(), c.relname)
    ) d(definition, before)
    WHERE c.relnamespace = quote_ident(current_schema())::regnamespace AND NOT x.relispartition
        AND NOT EXISTS (SELECT FROM pg_constraint o WHERE o.conindid = x.oid AND o.contype IN ('p', 'u', 'x'))";

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
    SELECT c.relname::text, pg_get_triggerdef(t.oid, true),
        CASE t.tgenabled WHEN 'D' THEN ' disabled' WHEN 'R' THEN ' on replicas' WHEN 'A' THEN ' always' END
    FROM pg_trigger t
    JOIN pg_class c ON c.oid = t.tgrelid
    WHERE c.relnamespace = quote_ident(current_schema())::regnamespace AND NOT t.tgisinternal AND t.tgparentid = 0";

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
    SELECT 'enum ' || quote_ident(t.typname),
        (SELECT string_agg(quote_literal(e.enumlabel), chr(31) ORDER BY e.enumsortorder)
            FROM pg_enum e WHERE e.enumtypid = t.oid)
    FROM pg_type t
    WHERE t.typnamespace = quote_ident(current_schema())::regnamespace AND t.typtype = 'e'
        AND NOT EXISTS (SELECT FROM pg_depend d
            WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e')";

const DOMAINS: &str = "
    SELECT 'domain ' || quote_ident(t.typname),
        concat_ws(chr(31),
            concat_ws(' ', format_type(t.typbasetype, t.typtypmod),
                CASE WHEN t.typcollation <> b.typcollation THEN 'collate ' || t.typcollation::regcollation END,
                CASE WHEN t.typnotnull THEN 'not null' END,
                'default ' || t.typdefault),
            (SELECT string_agg(
                    format('constraint %I check%s', o.conname, substr(pg_get_constraintdef(o.oid), 6)),
                    chr(31) ORDER BY o.conname::text COLLATE \"C\")
                FROM pg_constraint o WHERE o.contypid = t.oid AND o.contype = 'c'))
    FROM pg_type t
    JOIN pg_type b ON b.oid = t.typbasetype
    WHERE t.typnamespace = quote_ident(current_schema())::regnamespace AND t.typtype = 'd'
        AND NOT EXISTS (SELECT FROM pg_depend d
            WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e')";

const SEQUENCES: &str = "
    SELECT 'sequence ' || quote_ident(c.relname),
        format('%s start %s increment %s minvalue %s maxvalue %s cache %s%s', format_type(s.seqtypid, NULL),
            s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, CASE WHEN s.seqcycle THEN ' cycle' END)
    FROM pg_sequence s
    JOIN pg_class c ON c.oid = s.seqrelid
    WHERE c.relnamespace = quote_ident(current_schema())::regnamespace
        AND NOT EXISTS (SELECT FROM pg_depend d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i', 'e'))";

/// pg_get_functiondef names the schema, always and only in front of the name. Its first line is told by the heading,
/// and by a line of its own where the arguments have defaults.
const FUNCTIONS: &str = "
    SELECT format('%s %I(%s)', CASE p.prokind WHEN 'p' THEN 'procedure' ELSE 'function' END,
            p.proname, pg_get_function_identity_arguments(p.oid)),
        concat_ws(chr(31), CASE WHEN p.pronargdefaults > 0 THEN '(' || pg_get_function_arguments(p.oid) || ')' END,
            replace(substr(pg_get_functiondef(p.oid),
                length(format('CREATE OR REPLACE %s %I.%I(%s)',
                    CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END,
                    current_schema(), p.proname, pg_get_function_arguments(p.oid))) + 2), chr(31), ''))
    FROM pg_proc p
    WHERE p.pronamespace = quote_ident(current_schema())::regnamespace AND p.prokind <> 'a'
        AND NOT EXISTS (SELECT FROM pg_depend d
            WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype IN ('i', 'e'))";

const AGGREGATES: &str = "
    SELECT format('aggregate %I(%s)', p.proname, pg_get_function_identity_arguments(p.oid)),
        concat_ws(' ', 'sfunc', a.aggtransfn, 'stype', format_type(a.aggtranstype, NULL),
            'finalfunc ' || nullif(a.aggfinalfn::oid, 0)::regproc, 'initcond ' || quote_literal(a.agginitval))
    FROM pg_aggregate a
    JOIN pg_proc p ON p.oid = a.aggfnoid
    WHERE p.pronamespace = quote_ident(current_schema())::regnamespace
        AND NOT EXISTS (SELECT FROM pg_depend d
            WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')";
