CREATE TABLE members (
    id INTEGER NOT NULL PRIMARY KEY,
    email VARCHAR(320) NOT NULL UNIQUE,
    points INTEGER NOT NULL DEFAULT 0,
    CONSTRAINT members_points_check CHECK (points >= 0)
);

INSERT INTO members (id, email) VALUES (1, 'Ada@Example.org'), (2, 'grace@example.org');
