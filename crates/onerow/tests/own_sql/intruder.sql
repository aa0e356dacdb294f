-- Whatever fits a call better than the server's own does, as any role could put it into public. Each tells the log.
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'intruder') THEN CREATE ROLE intruder; END IF;
END $$;
GRANT CREATE ON SCHEMA public TO PUBLIC;
GRANT TEMP ON DATABASE template1 TO PUBLIC;
SET SESSION AUTHORIZATION intruder;
-- Not to fall for its own.
SET search_path = pg_catalog;

CREATE FUNCTION pg_temp.put(name text, types text, result text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format(
        'CREATE OR REPLACE FUNCTION public.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L', name, types, result,
        format('BEGIN RAISE LOG %L; RETURN%s; END', format('hijacked: %s(%s)', replace(name, '%', '%%'), types),
            CASE WHEN result NOT LIKE 'SETOF%' THEN ' NULL' END));
END $$;

-- Of functions for texts, arrays and anything, those for names and for some arrays and things.
SELECT pg_temp.put(proname, better, result)
FROM pg_proc p
CROSS JOIN LATERAL (SELECT pg_get_function_result(p.oid), oidvectortypes(proargtypes)) AS of(result, types)
CROSS JOIN (VALUES ('text', 'name'), ('anyarray', 'integer[]'), ('anyarray', 'smallint[]'), ('"any"', 'text'),
    ('"any"', 'text, text'), ('"any"', 'name, name'), ('"any"', 'text, bigint, bigint')) AS r(general, special)
CROSS JOIN LATERAL (VALUES (replace(types, general, special)), (regexp_replace(types, general, special))) AS b(better)
WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind = 'f' AND better <> types
    AND better !~ 'any|internal|cstring' AND result !~ 'trigger|handler|internal|cstring|void|any|record'
    AND NOT EXISTS (SELECT FROM pg_proc o WHERE o.proname = p.proname AND oidvectortypes(o.proargtypes) = better);
SELECT pg_temp.put('unnest', types, 'SETOF integer') FROM (VALUES ('integer[]'), ('smallint[]'), ('int2vector')) AS t(types);

-- Of operators, those for each two types that the server has none for.
SELECT pg_temp.put(operator, a || ',' || b, CASE operator WHEN '||' THEN 'text' WHEN '+' THEN 'bigint' ELSE 'boolean' END)
FROM unnest(ARRAY['=', '<>', '<', '>', '<=', '>=', '~', '||', '+']) AS o(operator),
    unnest(ARRAY['oid', 'regclass', 'regproc', 'regnamespace', 'name', 'text', 'varchar', '"char"', 'integer', 'bigint']) AS a,
    unnest(ARRAY['oid', 'regclass', 'regproc', 'regnamespace', 'name', 'text', 'varchar', '"char"', 'integer', 'bigint']) AS b
WHERE NOT EXISTS (SELECT FROM pg_operator WHERE oprname = operator AND oprleft = a::regtype AND oprright = b::regtype);
DO $$
DECLARE made record;
BEGIN
    FOR made IN
        SELECT proname, proargtypes[0]::regtype AS a, proargtypes[1]::regtype AS b FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace AND proname ~ '^[=<>~|+]+$'
    LOOP
        EXECUTE format('CREATE OPERATOR public.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = public.%I)',
            made.proname, made.a, made.b, made.proname);
    END LOOP;
END $$;
RESET search_path;
RESET SESSION AUTHORIZATION;
