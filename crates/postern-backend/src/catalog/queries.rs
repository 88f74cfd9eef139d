//! The queries. Each gives rows of one column, a JSON object (or string) of the shape that `postern-catalog`
//! reads; what is null is left out. The search path is empty, so `pg_catalog` is all that is searched.

/// One snapshot for all of them.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Makes `pg_get_viewdef` write every schema.
pub(super) const EMPTY_PATH: &str = "SET LOCAL search_path = ''";

pub(super) const ABOUT: &str = "
SELECT json_build_object(
    'server_version', current_setting('server_version_num')::int,
    'database', current_database())";

pub(super) const SCHEMAS: &str = "
SELECT to_json(nspname::text) FROM pg_namespace WHERE nspname !~ '^pg_(temp|toast)'";

pub(super) const RELATIONS: &str = "
SELECT json_strip_nulls(json_build_object(
    'oid', c.oid::int8,
    'schema', n.nspname,
    'name', c.relname,
    'kind', CASE c.relkind
        WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized_view'
        WHEN 'p' THEN 'partitioned' WHEN 'f' THEN 'foreign' WHEN 'S' THEN 'sequence'
        ELSE 'composite' END,
    'columns', coalesce((
        SELECT json_agg(json_build_object(
            'number', a.attnum,
            'name', a.attname,
            'type', a.atttypid::int8,
            'loose_equality', CASE WHEN NOT l.collisdeterministic THEN true END) ORDER BY a.attnum)
        FROM pg_attribute a LEFT JOIN pg_collation l ON l.oid = a.attcollation
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '[]'),
    'row_type', nullif(c.reltype::int8, 0),
    'parents', (SELECT json_agg(i.inhparent::int8) FROM pg_inherits i WHERE i.inhrelid = c.oid),
    'partition', CASE WHEN c.relispartition THEN true END,
    'definition', CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END,
    'row_security', CASE WHEN c.relrowsecurity THEN true END,
    'row_security_forced', CASE WHEN c.relforcerowsecurity THEN true END,
    'security_invoker', CASE WHEN c.reloptions::text ~* 'security_invoker=(true|on|yes|1)' THEN true END,
    'instead_of_triggers', CASE WHEN EXISTS (
        SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgtype & 64 <> 0) THEN true END,
    'rules', (
        SELECT json_agg(json_build_object(
            'name', r.rulename,
            'event', CASE r.ev_type WHEN '2' THEN 'update' WHEN '3' THEN 'insert' ELSE 'delete' END)
            ORDER BY r.rulename)
        FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.ev_type <> '1'),
    'keys', (
        SELECT json_agg(json_build_object('name', k.conname, 'columns', k.conkey) ORDER BY k.conname)
        FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype IN ('p', 'u'))))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f', 'S', 'c') AND n.nspname !~ '^pg_(temp|toast)'";

pub(super) const FUNCTIONS: &str = "
SELECT json_strip_nulls(json_build_object(
    'oid', p.oid::int8,
    'schema', n.nspname,
    'name', p.proname,
    'kind', CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' WHEN 'w' THEN 'window' END,
    'volatility', CASE p.provolatile WHEN 's' THEN 'stable' WHEN 'v' THEN 'volatile' END,
    'security_definer', CASE WHEN p.prosecdef THEN true END,
    'language', l.lanname,
    'arguments', (
        SELECT json_agg(a.type::int8 ORDER BY a.place)
        FROM unnest(CASE WHEN p.prokind = 'p' THEN coalesce(p.proallargtypes, p.proargtypes::oid[])
            ELSE p.proargtypes::oid[] END) WITH ORDINALITY a (type, place)),
    'defaults', nullif(p.pronargdefaults, 0),
    'variadic', nullif(p.provariadic::int8, 0),
    'result', p.prorettype::int8,
    'returns_set', CASE WHEN p.proretset THEN true END,
    'outputs', (
        SELECT json_agg(json_build_object('name', o.name, 'type', o.type::int8) ORDER BY o.place)
        FROM (
            SELECT a.type, a.place,
                coalesce(nullif(p.proargnames[a.place], ''),
                    'column' || row_number() OVER (ORDER BY a.place)) AS name
            FROM unnest(p.proallargtypes) WITH ORDINALITY a (type, place)
            WHERE p.proargmodes[a.place] IN ('o', 'b', 't')) o)))
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
WHERE n.nspname !~ '^pg_(temp|toast)'";

pub(super) const TYPES: &str = "
SELECT json_strip_nulls(json_build_object(
    'oid', t.oid::int8,
    'schema', n.nspname,
    'name', t.typname,
    'kind', CASE t.typtype
        WHEN 'c' THEN 'composite' WHEN 'd' THEN 'domain' WHEN 'e' THEN 'enum' WHEN 'p' THEN 'pseudo'
        WHEN 'r' THEN 'range' WHEN 'm' THEN 'multirange' END,
    'base', nullif(t.typbasetype::int8, 0),
    'element', e.oid::int8,
    'relation', nullif(t.typrelid::int8, 0)))
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_type e ON e.typarray = t.oid
WHERE n.nspname !~ '^pg_(temp|toast)'";

pub(super) const OPERATORS: &str = "
SELECT json_strip_nulls(json_build_object(
    'oid', o.oid::int8,
    'schema', n.nspname,
    'name', o.oprname,
    'left', nullif(o.oprleft::int8, 0),
    'right', o.oprright::int8,
    'result', o.oprresult::int8,
    'function', o.oprcode::oid::int8))
FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
WHERE o.oprcode <> 0 AND n.nspname !~ '^pg_(temp|toast)'";

pub(super) const CASTS: &str = "
SELECT json_build_object(
    'source', castsource::int8, 'target', casttarget::int8, 'function', castfunc::int8)
FROM pg_cast WHERE castfunc <> 0";

pub(super) const FOREIGN_KEYS: &str = "
SELECT DISTINCT jsonb_build_object('from', conrelid::int8, 'to', confrelid::int8)
FROM pg_constraint WHERE contype = 'f'";
