use super::*;
use onerow_testing::Backend;

const RICH: &str = r#"
    CREATE TABLE members (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        email TEXT NOT NULL COLLATE NOCASE UNIQUE ON CONFLICT REPLACE,
        nick VARCHAR( 20 ) DEFAULT "none", -- a comment, with a comma
        created TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
        score REAL DEFAULT -1.5 CHECK (score < 10 AND nick NOT IN ('a,b', ')'))
    );
    CREATE UNIQUE INDEX members_nick ON members (lower(nick) DESC, email COLLATE BINARY) WHERE nick IS NOT NULL;
    CREATE TABLE todos (
        id INTEGER NOT NULL,
        member_id INTEGER NOT NULL CONSTRAINT todos_member_id REFERENCES members ON DELETE CASCADE
            DEFERRABLE INITIALLY DEFERRED,
        "Due on" DATE,
        [check] TEXT,
        priority SMALLINT NOT NULL DEFAULT (1 + 1) CONSTRAINT todos_priority CHECK(priority>=0),
        double_priority INTEGER GENERATED ALWAYS AS (priority * 2) STORED,
        half AS (priority / 2),
        PRIMARY KEY (id, member_id),
        CONSTRAINT "Todos Due" UNIQUE (member_id, "Due on"),
        FOREIGN KEY (id, member_id) REFERENCES todos (id, member_id) ON UPDATE SET NULL
    ) WITHOUT ROWID;
    CREATE TABLE typed (id INTEGER PRIMARY KEY, data ANY) STRICT;
    CREATE VIRTUAL TABLE notes USING fts5(title, body);
    CREATE VIEW open_todos (id, mail) AS
        SELECT t.id, m.email FROM todos t JOIN members m ON m.id = t.member_id;
    CREATE TRIGGER todos_touch AFTER UPDATE OF priority ON todos FOR EACH ROW WHEN OLD.priority > 0
    BEGIN
        UPDATE members SET score = -1 WHERE id = NEW.member_id;
        SELECT RAISE(ABORT, 'no; no');
    END;
"#;

const PRINTED: &str = r#"table members
  id integer not null
  email text collate nocase not null
  nick varchar(20) default 'none'
  created timestamp with time zone not null default current_timestamp
  score real default -1.5
  check (score < 10 and nick not in ('a,b', ')'))
  primary key (id) autoincrement
  unique (email) on conflict replace
  unique index members_nick (lower(nick) desc, email collate binary) where nick is not null

table notes
  using fts5(title, body)
  title
  body

table todos
  without rowid
  id integer not null
  member_id integer not null
  "Due on" date
  "check" text
  priority smallint not null default 1 + 1
  double_priority integer generated always as (priority * 2) stored
  half generated always as (priority / 2) virtual
  constraint "Todos Due" unique (member_id, "Due on")
  constraint todos_member_id foreign key (member_id) references members(id) on delete cascade deferrable initially deferred
  constraint todos_priority check (priority >= 0)
  foreign key (id, member_id) references todos(id, member_id) on update set null
  primary key (id, member_id)
  trigger todos_touch after update of priority on todos for each row when old.priority > 0 begin update members set score = -1 where id = new.member_id; select raise(abort, 'no; no'); end

table typed
  strict
  id integer not null
  data any
  primary key (id)

view open_todos
  (id, mail) as select t.id, m.email from todos t join members m on m.id = t.member_id"#;

async fn database() -> Option<TestDatabase> {
    if Backend::Sqlite.is_wanted() { Some(TestDatabase::in_memory().await) } else { None }
}

#[tokio::test]
async fn a_rich_schema_prints_as_this_text() {
    let Some(db) = database().await else { return };
    execute(&db, RICH).await;
    let printed = schema(&*db).await.to_string();
    assert!(printed == PRINTED, "{printed}");
}

#[tokio::test]
async fn ddl_written_otherwise_is_the_same_schema() {
    let Some(db) = database().await else { return };
    execute(&db, RICH).await;
    let before = schema(&*db).await;
    for otherwise in [QUOTED, TIGHT] {
        let other = TestDatabase::in_memory().await;
        execute(&other, otherwise).await;
        for name in ["members", "todos", "typed", "open_todos"] {
            let of = |schema: &Schema| {
                let printed = schema.to_string();
                let mut objects = printed.split("\n\n");
                objects
                    .find(|object| object.lines().next().unwrap().ends_with(name))
                    .unwrap()
                    .to_owned()
            };
            let (found, expected) = (of(&schema(&*other).await), of(&before));
            assert!(found == expected, "{found}\n\n{expected}");
        }
    }
}

/// Names in quotes of every kind, keywords in the other case, comments.
const QUOTED: &str = r#"
    create table "members" (
        "id" integer primary key autoincrement,
        [email] text collate "nocase" not null, `nick` varchar(20) default 'none',
        'created' timestamp with time zone default current_timestamp not null,
        /* was: integer, */ "score" real default - 1.5,
        unique ("email") on conflict replace,
        check ("score" < 10 and [nick] not in ('a,b', /* , */ ')'))
    );
    create unique index if not exists "members_nick" on "members" (LOWER("nick") desc, "email" collate "binary")
        where "nick" is not null;
    create table main."todos" (
        "id" integer not null, "member_id" integer not null, "Due on" date, "check" text,
        "priority" smallint default (1+1) not null, "double_priority" integer as ("priority"*2) stored,
        "half" as ("priority"/2) virtual,
        foreign key ("id", "member_id") references "todos" ("id", "member_id") on update set null on delete no action,
        constraint "todos_member_id" foreign key ("member_id") references "members" ("id")
            on delete cascade deferrable initially deferred,
        constraint "Todos Due" unique ("member_id", "Due on"),
        constraint "todos_priority" check ("priority" >= 0),
        primary key ("id", "member_id")
    ) without rowid;
    create table "typed" ("id" integer not null primary key, "data" any) strict;
    create view "open_todos" ("id", "mail") as
        select "t"."id", "m"."email" from "todos" "t" join "members" "m" on "m"."id" = "t"."member_id";
    create trigger "todos_touch" after update of "priority" on "todos" for each row when "old"."priority" > 0
    begin update "members" set "score" = -1 where "id" = "new"."member_id"; select raise(abort, 'no; no'); end;
"#;

/// No more white space than necessary, and columns that came later.
const TIGHT: &str = r#"
    CREATE TABLE members(id INTEGER PRIMARY KEY AUTOINCREMENT,email TEXT NOT NULL COLLATE NOCASE UNIQUE ON CONFLICT REPLACE,
        nick VARCHAR(20)DEFAULT'none',made TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP);
    ALTER TABLE members ADD score REAL DEFAULT-1.5 CHECK(score<10 AND nick NOT IN('a,b',')'));
    ALTER TABLE members RENAME made TO created;
    CREATE UNIQUE INDEX members_nick ON members(lower(nick)DESC,email COLLATE BINARY)WHERE nick IS NOT NULL;
    CREATE TABLE tasks(id INTEGER NOT NULL,member_id INTEGER NOT NULL,"Due on"DATE,"check"TEXT,
        priority SMALLINT NOT NULL DEFAULT(1+1),double_priority INTEGER AS(priority*2)STORED,half AS(priority/2),
        PRIMARY KEY(id,member_id)CONSTRAINT"Todos Due"UNIQUE(member_id,"Due on")CONSTRAINT todos_priority
        CHECK(priority>=0)FOREIGN KEY(id,member_id)REFERENCES tasks ON UPDATE SET NULL NOT DEFERRABLE,
        CONSTRAINT todos_member_id FOREIGN KEY(member_id)REFERENCES members(id)ON DELETE CASCADE
        DEFERRABLE INITIALLY DEFERRED)WITHOUT ROWID;
    ALTER TABLE tasks RENAME TO todos;
    CREATE TABLE typed(id INTEGER PRIMARY KEY,data ANY)STRICT;
    CREATE VIEW open_todos(id,mail)AS SELECT t.id,m.email FROM todos t JOIN members m ON m.id=t.member_id;
    CREATE TRIGGER todos_touch AFTER UPDATE OF priority ON todos FOR EACH ROW WHEN OLD.priority>0 BEGIN
        UPDATE members SET score=-1 WHERE id=NEW.member_id;SELECT RAISE(ABORT,'no; no');END;
"#;

#[tokio::test]
async fn each_change_of_a_table_shows_its_line_alone() {
    let Some(db) = database().await else { return };
    for (from, to, expected) in CHANGES {
        let (before, after) =
            (format!("CREATE TABLE a ({from})"), format!("DROP TABLE a; CREATE TABLE a ({to})"));
        execute(&db, &format!("DROP TABLE IF EXISTS a; {before}")).await;
        assert_eq!(difference(&db, &after).await, format!("table a\n{expected}"), "{to}");
    }
}

const CHANGES: [(&str, &str, &str); 12] = [
    ("x TEXT", "x INTEGER", "- x text\n+ x integer"),
    ("x TEXT", "x TEXT NOT NULL", "- x text\n+ x text not null"),
    ("x TEXT DEFAULT 'a'", "x TEXT DEFAULT 'A'", "- x text default 'a'\n+ x text default 'A'"),
    ("x TEXT", "x TEXT COLLATE RTRIM", "- x text\n+ x text collate rtrim"),
    (
        "x, y AS (x)",
        "x, y AS (x) STORED",
        "- y generated always as (x) virtual\n+ y generated always as (x) stored",
    ),
    ("x CHECK (x > 0)", "x CHECK (x > 1)", "- check (x > 0)\n+ check (x > 1)"),
    ("x UNIQUE", "x", "- unique (x)"),
    ("x, y, UNIQUE (x, y)", "x, y, UNIQUE (y, x)", "- unique (x, y)\n+ unique (y, x)"),
    (
        "x INTEGER PRIMARY KEY",
        "x INTEGER PRIMARY KEY AUTOINCREMENT",
        "- primary key (x)\n+ primary key (x) autoincrement",
    ),
    (
        "x REFERENCES b (y) ON DELETE CASCADE",
        "x REFERENCES b (y) ON DELETE SET DEFAULT",
        "- foreign key (x) references b(y) on delete cascade\n+ foreign key (x) references b(y) on \
         delete set default",
    ),
    (
        "x REFERENCES b",
        "x REFERENCES b DEFERRABLE INITIALLY DEFERRED",
        "- foreign key (x) references b\n+ foreign key (x) references b deferrable initially \
         deferred",
    ),
    (
        "x",
        "x, \"check\" TEXT CHECK (\"check\" <> ',('), [y(] INTEGER",
        "+ \"check\" text\n+ \"y(\" integer\n+ check (\"check\" <> ',(')",
    ),
];

#[tokio::test]
async fn a_changed_trigger_shows_its_line_alone() {
    let Some(db) = database().await else { return };
    execute(&db, "CREATE TABLE a (x); CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM a; END")
        .await;
    let change =
        "DROP TRIGGER t; CREATE TRIGGER t AFTER INSERT ON A BEGIN DELETE FROM a WHERE x = 1; END";
    assert_eq!(
        difference(&db, change).await,
        "table a\n- trigger t after insert on a begin delete from a; end\n\
         + trigger t after insert on A begin delete from a where x = 1; end"
    );
}

#[tokio::test]
async fn odd_ddl_prints_too() {
    let Some(db) = database().await else { return };
    execute(&db, ODD).await;
    let printed = schema(&*db).await.to_string();
    assert!(printed == ODD_PRINTED, "{printed}");
}

const ODD: &str = r#"
    CREATE TABLE "a,(b" (
        x, [y z] DECIMAL(10, 2) DEFAULT (-1), "w" DEFAULT x'AB' /* CHECK (no) */,
        CHECK (x IN ('a', "y z")) -- the end, CHECK (never)
    );
    CREATE TABLE c AS SELECT 1 AS one, 'b' AS "two three";
    CREATE TABLE d (id INTEGER, n TEXT, PRIMARY KEY (id AUTOINCREMENT));
    CREATE TABLE e (
        a TEXT PRIMARY KEY,
        b INT REFERENCES D ON DELETE SET NULL MATCH FULL ON UPDATE CASCADE,
        c DATETIME DEFAULT (datetime('now', 'utc'))
    );
    CREATE INDEX "d n" ON D (n COLLATE NOCASE, n || '(', substr(n, 1)) WHERE n NOT LIKE 'x%' AND id BETWEEN 1 AND 2;
    CREATE TEMP TABLE d (other);
    CREATE VIEW w AS
        WITH r(n) AS (VALUES(1) UNION ALL SELECT n + 1 FROM r WHERE n < 5)
        SELECT CAST(n AS TEXT) AS "text", CASE WHEN n > 1 THEN -n END, count(*) OVER (PARTITION BY n) FROM r;
    CREATE TRIGGER dt INSTEAD OF INSERT ON w BEGIN INSERT OR REPLACE INTO "d" (n) VALUES ('a;b'); END;
"#;

const ODD_PRINTED: &str = r#"table "a,(b"
  x
  "y z" decimal(10, 2) default -1
  w default x'ab'
  check (x in ('a', "y z"))

table c
  one
  "two three"

table d
  id integer not null
  n text
  primary key (id) autoincrement
  index "d n" (n collate nocase, n || '(', substr(n, 1)) where n not like 'x%' and id between 1 and 2

table e
  a text
  b int
  c datetime default datetime('now', 'utc')
  foreign key (b) references d(id) on delete set null on update cascade
  primary key (a)

view w
  as with r(n) as (values (1) union all select n + 1 from r where n < 5) select cast(n as TEXT) as text, case when n > 1 then -n end, count(*) over (partition by n) from r
  trigger dt instead of insert on w begin insert or replace into d(n) values ('a;b'); end"#;
