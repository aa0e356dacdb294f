CREATE TABLE members (id INTEGER PRIMARY KEY, email TEXT NOT NULL);
-- More than one statement; and a semicolon in a text.
INSERT INTO members VALUES (1, 'ada;@example.org');
